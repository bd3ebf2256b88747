"""Keeps what a teacher said about each picture, for training whose pictures look the same in every epoch."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmext.apis.writers import replacing
from mmext.errors import UserError, did_you_mean

_KEYS = ('where', 'dir', 'dtype', 'max_gib')
_PLACES = ('ram', 'disk')
_DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}
_IDS = ('img_path', 'img_id', 'sample_idx')
_VIEW = '#view'
_IDENTITY = 'cache.json'
_CLOSE = 0.02  # of the largest value: what batches of other sizes and a smaller dtype may change
Records = dict[str, Any]
Entry = dict[str, Tensor]


class TeacherCache:
    """A teacher's records, by picture, in memory or on disk.

    A picture is known by the path and numbers in its data sample and by its padded size. Its pixels must be
    the same each time: random flips, crops or mixing are refused, when a picture comes again. The first
    batch that is known altogether is computed once more, so that a teacher which draws random numbers is
    found out too.

    Args:
        name: Of the teacher, for messages.
        where: 'ram' (each process its own) or 'disk'.
        dir: Folder on disk; it may serve later runs with the same teacher, weights and records.
        dtype: 'fp32', 'bf16' or 'fp16' to keep; None: as the teacher gives it.
        max_gib: Stop adding beyond so much, in this process and run.

    Raises:
        UserError: On an unknown key or value.
    """

    def __init__(self, name: str, where: str = 'ram', dir: str | None = None, dtype: str | None = None,
                 max_gib: float | None = None) -> None:
        for key, value, known in (('where', where, _PLACES), ('dtype', dtype, (None, *_DTYPES))):
            if value not in known:
                names = [one for one in known if one]
                raise UserError(f"teacher '{name}': cache.{key}='{value}'{did_you_mean(str(value), names)} "
                                f'(choose from {", ".join(names)})')
        if (where == 'disk') != (dir is not None):
            raise UserError(f"teacher '{name}': cache=dict(where='disk', dir='FOLDER') or dict(where='ram')")
        if max_gib is not None and max_gib <= 0:
            raise UserError(f"teacher '{name}': cache.max_gib={max_gib} must be above 0")
        self.name, self.dtype = name, _DTYPES[dtype] if dtype else None
        self.folder = Path(dir) if dir is not None else None
        self.left = None if max_gib is None else int(max_gib * 2**30)
        self.memory: dict[str, Entry] = {}
        self.hits = self.misses = 0
        self._identified = self._verified = False

    @classmethod
    def from_cfg(cls, name: str, cfg: Mapping[str, Any]) -> TeacherCache:
        """From ``dict(where='ram')`` or ``dict(where='disk', dir='work_dirs/cache')``."""
        for key in cfg:
            if key not in _KEYS:
                raise UserError(f"teacher '{name}': cache has the unknown key '{key}'"
                                f'{did_you_mean(key, _KEYS)} (choose from {", ".join(_KEYS)})')
        return cls(name, **cfg)

    def identify(self, network: nn.Module, records: list[Any], how: str) -> None:
        """Bind the folder to a teacher with its weights and what is recorded of it, once.

        Args:
            network: The teacher.
            records: Of it.
            how: It is run.

        Raises:
            UserError: If the folder has another teacher's answers.
        """
        if self._identified:
            return
        self._identified = True
        if self.folder is None:
            return
        weights = hashlib.sha256()
        for key, value in network.state_dict().items():
            weights.update(f'{key}{tuple(value.shape)}{view_of(value)}'.encode())
        identity = {'network': type(network).__name__, 'weights': weights.hexdigest()[:32],
                    'records': [repr(record) for record in records], 'run': how,
                    'dtype': str(self.dtype)}
        path = self.folder / _IDENTITY
        if path.is_file():
            try:
                found = json.loads(path.read_text())
            except ValueError:
                found = None
            if not isinstance(found, dict):
                raise UserError(f"teacher '{self.name}': {path} is broken; remove the folder, or take "
                                'another dir=')
            other = [key for key in identity if found.get(key) != identity[key]]
            if other:
                raise UserError(f"teacher '{self.name}': {self.folder} keeps the answers of a teacher with "
                                f'other {", ".join(other)}; take another dir=, or remove it')
            return
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(identity, indent=2) + '\n')

    def run(self, compute: Callable[[Any, Any], Records], inputs: Any, data_samples: Any,
            branch: str | None) -> Records:
        """Records of a batch; only pictures that are new go through the teacher.

        Args:
            compute: Runs the teacher on inputs and data samples.
            inputs: Preprocessed images ``(B, ...)``.
            data_samples: Their data samples.
            branch: Of multi-branch data.

        Raises:
            UserError: If a picture has no name or looks otherwise than before, a record has no entry for
                each image, or the teacher says something else to the same picture.
        """
        if not isinstance(inputs, Tensor):
            raise UserError(f"teacher '{self.name}': cache= needs images of one size in a batch")
        names = self._names(inputs, data_samples, branch)
        views = [view_of(image) for image in inputs]
        entries = [self._find(name, view) for name, view in zip(names, views)]
        new = [index for index, entry in enumerate(entries) if entry is None]
        self.hits += len(entries) - len(new)
        self.misses += len(new)
        if new:
            whole = len(new) == len(entries)
            found = compute(inputs if whole else inputs[new],
                            data_samples if whole else [data_samples[index] for index in new])
            for index, entry in zip(new, self._split(found, len(new))):
                entries[index] = entry
                self._keep(names[index], views[index], entry)
        result = _joined([entry for entry in entries if entry is not None], inputs.device)
        if not new and not self._verified:
            self._verified = True
            self._verify(compute(inputs, data_samples), result)
        return result

    # ----------------------------------------------------------------------------------- one picture

    def _names(self, inputs: Tensor, data_samples: Any, branch: str | None) -> list[str]:
        names = []
        for sample in data_samples if isinstance(data_samples, list | tuple) else [None] * len(inputs):
            meta = getattr(sample, 'metainfo', {})
            known = [f'{key}={meta[key]}' for key in _IDS if meta.get(key) is not None]
            if not known:
                raise UserError(f"teacher '{self.name}': cache= needs pictures with a name, but a data "
                                f'sample has none of {", ".join(_IDS)}: add one to meta_keys of the '
                                'Pack... step')
            names.append('|'.join([*known, str(branch), *map(str, inputs.shape[2:])]))
        return names

    def _find(self, name: str, view: int) -> Entry | None:
        entry = self.memory.get(name) if self.folder is None else _read(self._path(name))
        if entry is None:
            return None
        if int(entry[_VIEW]) != view:
            raise UserError(
                f"teacher '{self.name}': {name.partition('|')[0]} looks otherwise than when it was kept in "
                'the cache, so the training pictures are drawn at random (crop, flip, colours, mixing) or '
                'have changed. Take out cache=, or the random steps of the pipeline')
        return entry

    def _keep(self, name: str, view: int, entry: Entry) -> None:
        size = sum(one.numel() * one.element_size() for one in entry.values())
        if self.left is not None:
            if size > self.left:
                if self.left:
                    print_log(f"teacher '{self.name}': its cache is full, further pictures are computed each "
                              'time (max_gib)', logger='current')
                self.left = 0
                return
            self.left -= size
        entry = {**entry, _VIEW: torch.tensor(view)}
        if self.folder is None:
            self.memory[name] = entry
            return
        from safetensors.torch import save
        with replacing(self._path(name)) as path:
            path.write_bytes(save(entry))

    def _path(self, name: str) -> Path:
        assert self.folder is not None
        code = hashlib.sha256(name.encode()).hexdigest()[:32]
        return self.folder / code[:2] / f'{code}.safetensors'

    def _split(self, records: Records, count: int) -> list[Entry]:
        entries: list[Entry] = [{} for _ in range(count)]
        for name, value in records.items():
            for index, one in enumerate(value if isinstance(value, list) else [value]):
                if one.shape[:1] != (count, ):
                    raise UserError(f"record '{name}' of teacher '{self.name}' has the shape "
                                    f'{tuple(one.shape)} for {count} images, not one entry for each: it '
                                    'cannot be cached')
                key = f'{name}#{index}' if isinstance(value, list) else name
                kept = one.detach().to('cpu', self.dtype or one.dtype)
                for image, entry in enumerate(entries):
                    entry[key] = kept[image].clone(memory_format=torch.contiguous_format)
        return entries

    def _verify(self, again: Records, kept: Records) -> None:
        for name, value in again.items():
            pairs = zip(value, kept[name]) if isinstance(value, list) else [(value, kept[name])]
            for one, other in pairs:
                largest = float(one.float().abs().max())
                apart = float((one.float() - other.float()).abs().max())
                if not apart <= _CLOSE * max(largest, 1e-6):
                    raise UserError(f"record '{name}' of teacher '{self.name}' differs by {apart:.2g} "
                                    f'(largest value {largest:.2g}) when the same pictures come again: it '
                                    'depends on random numbers or on the rest of the batch and cannot be '
                                    'cached')


def view_of(tensor: Tensor) -> int:
    """A number that (nearly) only these very values in this order give, the same on every device."""
    if tensor.is_floating_point():
        tensor = tensor.contiguous().view({8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.uint8}[
            tensor.element_size()])
    values = tensor.reshape(-1).long()
    places = torch.arange(1, 2 * len(values), 2, device=values.device) * 0x9E3779B1
    return int((values * places + (values ^ places)).sum())


def _read(path: Path) -> Entry | None:
    """An entry on disk; a broken one counts as missing and is written anew."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    try:
        return load_file(path) if path.is_file() else None
    except (SafetensorError, OSError):
        return None


def _joined(entries: list[Entry], device: torch.device) -> Records:
    result: Records = {}
    for key in sorted((key for key in entries[0] if key != _VIEW), key=_place):  # files have t#10 before t#2
        value = torch.stack([entry[key] for entry in entries]).to(device)
        name, several, _ = key.partition('#')
        if several:
            result.setdefault(name, []).append(value)
        else:
            result[key] = value
    return result


def _place(key: str) -> tuple[str, int]:
    name, _, number = key.partition('#')
    return name, int(number or 0)

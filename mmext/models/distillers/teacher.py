"""A teacher of the Distiller: a frozen network, what is run of it and in which precision."""
from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmext.engine.checkpoint.loading import load_state
from mmext.engine.checkpoint.report import compare
from mmext.errors import UserError, did_you_mean

from .cache import TeacherCache
from .frozen_network import FrozenNetwork
from .recorder import Record, Recorder
from .renormalise import Renormalise

CALLS = ('extract_feat', 'tensor', 'loss', 'predict')
_DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


class Teacher(FrozenNetwork):
    """A network that is run under ``no_grad`` and recorded.

    Args:
        name: Its name in the config.
        model: Config of the network, or path of a config file (``mmdet::atss/....py`` is a host's).
        checkpoint: Its weights.
        random: Allow a teacher without weights.
        strict: False lets the file lack weights of modules that run after everything recorded.
        call: How it is run: 'extract_feat', 'tensor', 'loss' or 'predict'.
        dtype: 'fp32', 'bf16' or 'fp16' for autocast; None leaves it to the run's own precision.
        early_stop: End the pass when all records are there.
        mode: 'eval', or 'train' for methods whose teacher keeps dropout and batch statistics.
        own_preprocessor: Give it images normalised as its own data preprocessor does, where that differs
            from the student's.
        cache: ``dict(where='ram')`` or ``dict(where='disk', dir=...)`` where the training pictures are
            the same in every epoch, see :class:`TeacherCache`.

    Raises:
        UserError: On an unknown key or value.
    """

    keys = (*FrozenNetwork.keys, 'strict', 'call', 'dtype', 'early_stop', 'mode', 'own_preprocessor', 'cache')

    def __init__(self, name: str, model: Any, checkpoint: str | None = None, random: bool = False,
                 strict: bool = True, call: str = 'tensor', dtype: str | None = None,
                 early_stop: bool = True, mode: str = 'eval', own_preprocessor: bool = False,
                 cache: Mapping[str, Any] | None = None) -> None:
        for key, value, known in (('call', call, CALLS), ('dtype', dtype, (None, *_DTYPES)),
                                  ('mode', mode, ('eval', 'train'))):
            if value not in known:
                names = [one for one in known if one]
                raise UserError(f"teacher '{name}': {key}='{value}'{did_you_mean(str(value), names)} "
                                f'(choose from {", ".join(names)})')
        self.cache = None if cache is None else TeacherCache.from_cfg(name, cache)
        if self.cache is not None and (mode == 'train' or call not in CALLS[:2]):
            given = "mode='train'" if mode == 'train' else f"call='{call}'"
            raise UserError(f"teacher '{name}': cache= does not go with {given}: what it says depends on "
                            'more than the picture')
        super().__init__(name, model, checkpoint, random)
        self.strict, self.call, self.early_stop = strict, call, early_stop
        self.dtype = _DTYPES[dtype] if dtype else None
        self.module.train(mode == 'train')
        self.recorder = Recorder(self.module, [])
        self.own_preprocessor = own_preprocessor
        self._renormalise: Renormalise | None = None
        self._lost: dict[str, str] = {}  # modules without weights in the file, and the first one missing
        self._trusted: set[str | None] = set()  # branches whose first pass needed none of them

    def gets(self, preprocessor: nn.Module | None) -> None:
        """Say which data preprocessor made the images that it is given: the student's."""
        if self.own_preprocessor:
            own = getattr(self.module, 'data_preprocessor', None)
            self._renormalise = Renormalise(self.name, preprocessor, own)

    def watch(self, records: list[Record]) -> None:
        """Resolve what is recorded in this teacher."""
        self.recorder = Recorder(self.module, records)

    def prepare(self) -> None:
        """Load or draw the weights, once, and say what was loaded.

        Raises:
            UserError: If weights are missing or of another shape; with ``strict=False``, if one of them
                belongs to a recorded module (what runs before one is found out in the first pass).
        """
        if self._ready or self.strict or self.checkpoint is None:
            super().prepare()
            return
        own, state = self.module.state_dict(), load_state(self.checkpoint)
        fit = compare(own, state)
        lost = {*fit.missing, *(key for key in own if key in state and own[key].shape != state[key].shape)}
        for record, paths in self.recorder.paths.items():
            for path in paths:
                inside = sorted(key for key in lost if not path or key.startswith(f'{path}.'))
                if inside:
                    raise UserError(f"teacher '{self.name}': {self.checkpoint} has no weights for '{path}', "
                                    f"which record '{record}' needs (first missing: {inside[0]}); {fit}")
        self.module.load_state_dict({key: state[key] for key in own if key in state and key not in lost},
                                    strict=False)
        print_log(f"teacher '{self.name}' from {self.checkpoint}: {fit}", logger='current')
        self._lost = {key.rpartition('.')[0]: key for key in sorted(lost, reverse=True)}
        self._ready = True

    @torch.no_grad()
    def run(self, inputs: Any, data_samples: Any, branch: str | None = None,
            reduce: Mapping[str, Callable[[Tensor], Tensor]] | None = None) -> dict[str, Any]:
        """Records of one pass, without gradient.

        Args:
            inputs: Preprocessed images.
            data_samples: Their data samples; the teacher gets copies.
            branch: Of multi-branch data.
            reduce: By record, what is kept of each of its tensors; not with a cache.
        """
        self.prepare()
        if self.cache is None:
            return self._run(inputs, data_samples, branch, reduce)
        how = f'{self.call}, {self.dtype}, own preprocessor: {self.own_preprocessor}'
        self.cache.identify(self.module, self.recorder.records, how)
        return self.cache.run(lambda part, samples: self._run(part, samples, branch), inputs, data_samples,
                              branch)

    def _run(self, inputs: Any, data_samples: Any, branch: str | None,
             reduce: Mapping[str, Callable[[Tensor], Tensor]] | None = None) -> dict[str, Any]:
        if self._renormalise is not None:
            inputs = self._renormalise(inputs)
        enabled = None if self.dtype is None else self.dtype != torch.float32
        device = inputs.device.type if isinstance(inputs, Tensor) else 'cpu'
        with self._needs_nothing_lost(branch), \
                self.recorder.recording(self.module, branch, self.early_stop, reduce) as records:
            if enabled is None:
                run_network(self.module, self.call, inputs, data_samples)
            else:
                with torch.autocast(device, dtype=self.dtype if enabled else torch.bfloat16,
                                    enabled=enabled):
                    run_network(self.module, self.call, inputs, data_samples)
        return records

    @contextmanager
    def _needs_nothing_lost(self, branch: str | None) -> Iterator[None]:
        """Refuse records that come after a module without weights; the first pass of a branch tells."""
        if not self._lost or branch in self._trusted:
            yield
            return
        ran: list[tuple[str, str]] = []  # (module without weights, '') or ('', record), in their order
        modules = dict(self.module.named_modules())
        parts = {path: key for path, key in self._lost.items() if path}
        handles = [modules[path].register_forward_pre_hook(
            lambda _, args, path=path: ran.append((path, ''))) for path in parts]
        handles += [modules[path].register_forward_hook(
            lambda _, args, output, name=name: ran.append(('', name)))
            for name, paths in self.recorder.paths.items() for path in paths]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        lost = self._lost.get('')  # the whole network's own: used by everything
        for path, record in ran:
            if path and lost is None:
                lost = parts[path]
            if record and lost is not None:
                raise UserError(f"teacher '{self.name}': {self.checkpoint} has no weights for '{lost}', "
                                f"which runs before record '{record}': it would be that of random weights")
        self._trusted.add(branch)


def run_network(network: Any, call: str, inputs: Any, data_samples: Any) -> Any:
    """One pass of any host's model through one of its entry points."""
    if not isinstance(network, BaseModel):
        return network(inputs)
    if call == 'extract_feat':
        return network.extract_feat(inputs)
    return network(inputs, copy.deepcopy(data_samples), mode=call)

"""Where a distiller takes tensors from: outputs of modules, by path, glob or type."""
from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from mmext.errors import UserError, did_you_mean

_KEYS = ('net', 'module', 'types', 'source', 'index', 'call', 'branch', 'clone')


class AllRecorded(Exception):
    """Raised inside a teacher once nothing more of it is needed."""


@dataclass(frozen=True)
class Record:
    """What is recorded under one name.

    Attributes:
        name: The record's name.
        net: 'student' or a teacher.
        module: Path of a module of the net, or a glob (``backbone.layers.*.attn``); '' is the net itself.
        types: Class names instead of a path: every module of exactly one of these types. Of recurrent
            layers the outputs are taken and not the states.
        source: 'output' or 'input' (the first positional argument).
        index: Position in a tuple that the module returns; None for all of it.
        call: Which call of a module that is run several times; None for all.
        branch: Of multi-branch data.
        clone: Copy the tensor: for one that the next module changes in place.
    """

    name: str
    net: str
    module: str = ''
    types: tuple[str, ...] = ()
    source: str = 'output'
    index: int | None = None
    call: int | None = None
    branch: str | None = None
    clone: bool = False

    @classmethod
    def from_cfg(cls, name: str, cfg: Mapping[str, Any]) -> Record:
        """From ``dict(net=..., module=..., ...)``."""
        for key in cfg:
            if key not in _KEYS:
                raise UserError(f"record '{name}' has the unknown key '{key}'{did_you_mean(key, _KEYS)}")
        for key in ('net',):
            if key not in cfg:
                raise UserError(f"record '{name}' has no {key}='student' (or a teacher)")
        if ('module' in cfg) == ('types' in cfg):
            raise UserError(f"record '{name}' needs either module='PATH' or types=['Conv2d', ...]")
        if cfg.get('source', 'output') not in ('output', 'input'):
            raise UserError(f"record '{name}': source is 'output' or 'input', not '{cfg['source']}'")
        return cls(name, **{**cfg, 'types': tuple(cfg.get('types', ()))})

    @property
    def several(self) -> bool:
        """Whether the record is a list whatever the network does."""
        return bool(self.types) or any(char in self.module for char in '*?[')

    def resolve(self, network: nn.Module) -> list[str]:
        """Paths of the modules that the record means.

        Raises:
            UserError: If there is none; the message has the nearest paths.
        """
        paths = dict(network.named_modules())
        if self.types:
            found = [path for path, module in paths.items() if type(module).__name__ in self.types]
            if not found:
                kinds = {type(module).__name__ for module in paths.values()}
                raise UserError(f"record '{self.name}': {self.net} has no module of type "
                                f'{" or ".join(self.types)}{did_you_mean(self.types[0], kinds)}')
            return found
        if self.several:
            found = fnmatch.filter(paths, self.module)
        else:
            found = [self.module] if self.module in paths else []
        if not found:
            raise UserError(f"record '{self.name}': {self.net} ({type(network).__name__}) has no module "
                            f"'{self.module}'{did_you_mean(self.module, paths)}")
        return found


@dataclass
class _Tape:
    record: Record
    values: list[tuple[Tensor, int]] = field(default_factory=list)
    calls: Counter = field(default_factory=Counter)


class Recorder:
    """Records of one network. Nothing is hooked but while :meth:`recording` lasts.

    Args:
        network: The network.
        records: What to record in it.

    Raises:
        UserError: On a path that the network does not have.
    """

    def __init__(self, network: nn.Module, records: list[Record]) -> None:
        self.records = records
        self.paths = {record.name: record.resolve(network) for record in records}
        self._expected: dict[tuple[str | None, str], int] = {}

    @contextmanager
    def recording(self, network: nn.Module, branch: str | None = None, early_stop: bool = False,
                  reduce: Mapping[str, Callable[[Tensor], Tensor]] | None = None
                  ) -> Iterator[dict[str, Tensor | list[Tensor]]]:
        """Record what runs inside; the dict that is yielded is filled when the block ends.

        Args:
            network: The network, as given to the constructor (or a copy of it).
            branch: Only records of this branch.
            early_stop: End the forward pass when everything is there. How often each module is called
                is learnt from the first pass, which is not cut short.
            reduce: By record, what is kept of each of its tensors, at once; the tensor itself is not.
        """
        reduce = reduce or {}
        modules = dict(network.named_modules())
        tapes = [_Tape(record) for record in self.records if record.branch == branch]
        total: Counter = Counter()
        known = {path: count for (of, path), count in self._expected.items() if of == branch}
        handles = []

        def keep(tape: _Tape, path: str, value: Any) -> None:
            record = tape.record
            number = tape.calls[path]
            tape.calls[path] += 1
            if record.call is None or record.call == number:
                found = _tensors(record, value)
                if record.name in reduce:
                    found = [reduce[record.name](tensor) for tensor in found]
                tape.values += [(tensor.clone() if record.clone else tensor, tensor._version)
                                for tensor in found]

        def before(tape: _Tape, path: str, args: Any) -> None:  # the module may change its input in place
            keep(tape, path, args[0] if args else None)

        def after(tape: _Tape, path: str, output: Any) -> None:
            if tape.record.source == 'output':
                states = tape.record.types and isinstance(modules[path], nn.RNNBase)
                keep(tape, path, output[0] if states else output)
            total[path, tape.record.name] += 1
            if early_stop and known and all(
                    total[one, each.record.name] >= known.get(one, 1)
                    for each in tapes for one in self.paths[each.record.name]):
                raise AllRecorded

        result: dict[str, Tensor | list[Tensor]] = {}
        try:
            for tape in tapes:
                for path in self.paths[tape.record.name]:
                    if tape.record.source == 'input':
                        handles.append(modules[path].register_forward_pre_hook(
                            lambda _, args, tape=tape, path=path: before(tape, path, args)))
                    handles.append(modules[path].register_forward_hook(
                        lambda _, args, output, tape=tape, path=path: after(tape, path, output)))
            with suppress(AllRecorded):
                yield result
        finally:
            for handle in handles:
                handle.remove()
        if early_stop and not known:
            self._expected.update({(branch, path): count for (path, _), count in total.items()})
        for tape in tapes:
            result[tape.record.name] = _value(tape)
            tape.values.clear()


def _tensors(record: Record, value: Any) -> list[Tensor]:
    if record.index is not None:
        if not isinstance(value, list | tuple) or not -len(value) <= record.index < len(value):
            shown = f'{len(value)} values' if isinstance(value, list | tuple) else type(value).__name__
            raise UserError(f"record '{record.name}': index={record.index}, but '{record.module}' returns "
                            f'{shown}')
        value = value[record.index]
    if isinstance(value, Tensor | PackedSequence):
        return _tensors_of(record, value)
    if isinstance(value, list | tuple | Mapping):
        items = value.values() if isinstance(value, Mapping) else value
        return [tensor for item in items if item is not None for tensor in _tensors_of(record, item)]
    return _tensors_of(record, value)


def _tensors_of(record: Record, value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, PackedSequence):
        return [pad_packed_sequence(value, batch_first=True)[0]]
    if isinstance(value, list | tuple):
        return [tensor for item in value if item is not None for tensor in _tensors_of(record, item)]
    raise UserError(f"record '{record.name}': the {record.source} of '{record.module}' in {record.net} is a "
                    f'{type(value).__name__}, not a tensor: record a module inside it, or give index=')


def _value(tape: _Tape) -> Tensor | list[Tensor]:
    record = tape.record
    if not tape.values:
        often = f' {record.call + 1} times' if record.call is not None else ''
        raise UserError(f"record '{record.name}': '{record.module or record.types}' of {record.net} was not "
                        f'called{often}: give another module, or another call= of the teacher')
    if not record.clone:
        for tensor, version in tape.values:
            if tensor._version != version:
                who = f"'{record.module}' or one after it" if record.source == 'input' else \
                    f"the module after '{record.module}'"
                raise UserError(f"record '{record.name}': {who} of {record.net} changed it in place: record "
                                'that module, or give clone=True')
    tensors = [tensor for tensor, _ in tape.values]
    return tensors[0] if len(tensors) == 1 and not record.several else tensors

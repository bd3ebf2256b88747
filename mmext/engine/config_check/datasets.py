"""Find the datasets in a config, their files and their classes, without building them."""
from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import mmengine.registry as roots

from ...errors import nearest
from .problem import Problem
from .resolve import Resolver, scope_in
from .signatures import known_arguments


@dataclass(frozen=True)
class DatasetConfig:
    """A dataset's place in the config, its settings and its class."""

    path: str
    cfg: Mapping[str, Any]
    cls: Any

    @property
    def metainfo(self) -> dict[str, Any]:
        """The class's metainfo, overridden by the config's."""
        own = self.cfg.get('metainfo')
        return {**getattr(self.cls, 'METAINFO', {}), **(own if isinstance(own, Mapping) else {})}

    @property
    def class_names(self) -> list[str] | None:
        """Names of the classes, or None when only the data tell."""
        own = self.cfg.get('metainfo')
        names = self.cfg.get('classes')
        if names is None and isinstance(own, Mapping):
            names = own.get('classes')
        # HRSC: METAINFO names 31 classes, which are only used on request.
        on_request = 'classwise' in (known_arguments(self.cls) or ())
        if names is None and (not on_request or self.cfg.get('classwise')):
            names = self.metainfo.get('classes')
        if isinstance(names, str):
            file = Path(names)
            return file.read_text(encoding='utf-8').split('\n') if file.is_file() else None
        return list(names) if names and isinstance(names, (list, tuple)) else None


def find_datasets(path: str, value: Any, scope: str, resolver: Resolver) -> Iterator[DatasetConfig]:
    """The innermost datasets under ``value``, wrappers and lists looked through."""
    if isinstance(value, (list, tuple)):
        for index, one in enumerate(value):
            yield from find_datasets(f'{path}.{index}', one, scope, resolver)
    if not isinstance(value, Mapping):
        return
    scope = scope_in(value, scope)
    inner = [key for key in ('dataset', 'datasets') if isinstance(value.get(key), (Mapping, list))]
    for key in inner:
        yield from find_datasets(f'{path}.{key}', value[key], scope, resolver)
    if not inner and 'type' in value:
        name = value['type']
        cls = resolver.find(roots.DATASETS, scope, name) if isinstance(name, str) else name
        if callable(cls):
            yield DatasetConfig(path, value, cls)


# ------------------------------------------------------------------------------------------- files


def is_local(path: Any) -> TypeGuard[str]:
    """Whether ``path`` is a non-empty string that means a file of this machine."""
    return isinstance(path, str) and bool(path) and '://' not in path


def is_remote(cfg: Mapping[str, Any]) -> bool:
    """Whether a dataset's or metric's files are read through something else than the file system."""
    backend = cfg.get('backend_args') or cfg.get('file_client_args')
    return isinstance(backend, Mapping) and backend.get('backend', 'local') not in ('local', 'disk')


def missing_path(path: str, key: str, what: str) -> Problem:
    """The problem of a file or folder ``path`` that is not there, with its nearest neighbours."""
    parent, hint = Path(path).parent, ''
    if parent.is_dir():
        near = nearest(Path(path).name, [entry.name for entry in parent.iterdir()], 2)
        shown = ' or '.join(repr(str(parent / name)) for name in near)
        hint = f'did you mean {shown}?' if near else ''
    elif not Path(path).is_absolute():
        hint = f'looked in {Path.cwd()}'
    return Problem(key, f"{what} '{path}' does not exist", suggestion=hint)


def check_dataset_files(dataset: DatasetConfig) -> Iterator[Problem]:
    """Report ``data_root``, ``ann_file`` and ``data_prefix`` that are not there."""
    from mmengine.dataset import BaseDataset
    cfg, cls = dataset.cfg, dataset.cls
    downloads = 'download' in (known_arguments(cls) or ())
    if not (isinstance(cls, type) and issubclass(cls, BaseDataset)) or downloads or is_remote(cfg):
        return
    data_root = cfg.get('data_root')
    if is_local(data_root) and not Path(data_root).exists():
        yield missing_path(data_root, f'{dataset.path}.data_root', 'the folder')
        return
    joined = _joined_paths(cls, cfg)
    if joined is None:
        return
    ann_file, prefixes = joined
    if cfg.get('ann_file') and is_local(ann_file) and not Path(ann_file).exists():
        yield missing_path(ann_file, f'{dataset.path}.ann_file', 'the annotation file')
    for key, prefix in prefixes.items():
        if is_local(prefix) and not Path(prefix).exists():
            place = f'{dataset.path}.data_prefix' + (f'.{key}' if key else '')
            yield missing_path(prefix, place, 'the folder')


def _joined_paths(cls: Any, cfg: Mapping[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    """``ann_file`` and ``data_prefix`` as the class joins them; None if it has its own way."""
    prefix = cfg.get('data_prefix') or {}
    dataset = cls.__new__(cls)  # only _join_prefix is wanted; the constructor would load the data
    dataset.data_root = cfg.get('data_root') or ''
    dataset.ann_file = cfg.get('ann_file') or ''
    dataset.data_prefix = {'': prefix} if isinstance(prefix, str) else copy.copy(dict(prefix))
    try:
        dataset._join_prefix()
    except Exception:  # a class with a signature of its own
        return None
    joined = dataset.data_prefix
    return dataset.ann_file, dict(joined) if isinstance(joined, Mapping) else {}


def check_evaluator_files(path: str, value: Any) -> Iterator[Problem]:
    """Report annotation files of metrics that are not there."""
    if isinstance(value, (list, tuple)):
        for index, one in enumerate(value):
            yield from check_evaluator_files(f'{path}.{index}', one)
    elif isinstance(value, Mapping):
        yield from check_evaluator_files(f'{path}.metrics', value.get('metrics'))
        for key in ('ann_file', 'seg_prefix'):
            file = value.get(key)
            if is_local(file) and not is_remote(value) and not Path(file).exists():
                yield missing_path(file, f'{path}.{key}', 'the annotation file')


def check_weights(path: str, value: Any, trains: bool) -> Iterator[Problem]:
    """Report files of weights that are not there or are none: of ``init_cfg``, of teachers and detectors.

    A part that has both ``model`` and ``checkpoint`` is a whole network beside the model; its ``model``
    may be a config file. Where nothing ``trains``, no teacher is asked and nothing is initialised.
    """
    if isinstance(value, (list, tuple)):
        for index, one in enumerate(value):
            yield from check_weights(f'{path}.{index}', one, trains)
    elif isinstance(value, Mapping):
        network = 'model' in value and 'checkpoint' in value
        if network or (trains and value.get('type') == 'Pretrained'):
            yield from check_checkpoint(f'{path}.checkpoint', value.get('checkpoint'))
        config = value.get('model') if network else None
        if is_local(config) and '::' not in config and not Path(config).is_file():
            yield missing_path(config, f'{path}.model', 'the config')
        for key, child in value.items():
            if trains or key not in ('teacher', 'teachers'):
                yield from check_weights(f'{path}.{key}', child, trains)


def check_checkpoint(path: str, file: Any) -> Iterator[Problem]:
    """Report a local file of weights that is not there, or begins as none does."""
    if not is_local(file):
        return
    if not Path(file).is_file():
        yield missing_path(file, path, 'the checkpoint')
        return
    with open(file, 'rb') as opened:
        begin = opened.read(9)
    # A length and a JSON object; a zip archive, or a pickle (before torch 1.6).
    good = begin[8:] == b'{' if file.endswith('.safetensors') else begin[:1] in (b'P', b'\x80')
    if not good:
        yield Problem(path, f"'{file}' is no checkpoint: it begins with {begin!r}",
                      suggestion='a web page or a half download?')

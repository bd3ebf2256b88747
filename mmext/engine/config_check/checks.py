"""Run all checks over one config."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import nearest
from . import RUNNER_KEYS
from .angles import check_angles
from .classes import check_class_names, check_num_classes, check_read_names, check_same_classes
from .datasets import (
    DatasetConfig,
    check_checkpoint,
    check_dataset_files,
    check_evaluator_files,
    check_weights,
    find_datasets,
)
from .pipelines import check_pipelines
from .problem import Problem
from .resolve import Resolver
from .schedule import check_auto_scale, check_loaders, check_phases, check_schedule
from .structure import StructureCheck

#: One for the process: what a name means does not change between configs.
_resolver = Resolver()


def run(cfg: Any, phases: tuple[str, ...], files: bool) -> list[Problem]:
    """See :func:`mmext.engine.config_check.check_config`."""
    tree: Mapping[str, Any] = cfg.to_dict() if hasattr(cfg, 'to_dict') else cfg
    if tree.get('model') is None:
        return [Problem('model', 'is missing: this is a part of a config, not a whole one')]
    structure = StructureCheck(tree, _resolver)
    problems = structure.run(phases)
    problems += check_phases(tree, phases)
    problems += check_loaders(tree, phases)
    problems += _check_top_level(tree)
    problems += check_pipelines(tree, getattr(cfg, 'filename', None))
    if 'train' in phases:
        problems += check_schedule(tree)
        problems += check_auto_scale(tree)
    problems += check_angles(tree['model'])
    problems += _check_data(tree, phases, structure.scope, files)
    if files:
        problems += check_weights('model', tree['model'], 'train' in phases)
        problems += check_checkpoint('load_from', tree.get('load_from'))
    unique = list(dict.fromkeys(problems))
    return sorted(unique, key=lambda problem: problem.severity != 'error')


def _check_data(tree: Mapping[str, Any], phases: tuple[str, ...], scope: str,
                files: bool) -> Iterator[Problem]:
    trained: list[DatasetConfig] = []
    for phase in phases:
        path = f'{phase}_dataloader'
        loader = tree.get(path)
        value = loader.get('dataset') if isinstance(loader, Mapping) else None
        datasets = list(find_datasets(f'{path}.dataset', value, scope, _resolver))
        for dataset in datasets:
            yield from check_class_names(dataset)
            if files:
                yield from check_dataset_files(dataset)
        evaluator = f'{phase}_evaluator'
        parts = {evaluator: tree.get(evaluator)}
        if phase == 'train':
            trained = datasets
            parts = {key: tree.get(key) for key in ('model', 'data_preprocessor')}
        else:
            yield from check_same_classes(trained, datasets, tree['model'])
        yield from check_read_names(tree, datasets)
        if datasets:
            yield from check_num_classes(parts, datasets, tree['model'])
        if files:
            yield from check_evaluator_files(evaluator, tree.get(evaluator))


def _check_top_level(tree: Mapping[str, Any]) -> Iterator[Problem]:
    """Top-level names one slip away from one that the Runner reads."""
    for key in tree:
        if key in RUNNER_KEYS or key.endswith('_pipeline'):
            continue
        near = [name for name in nearest(key, RUNNER_KEYS, 1) if _one_slip(key, name)]
        if near:
            yield Problem(key, 'is not read by anything', 'warning', f"did you mean '{near[0]}'?")


def _one_slip(left: str, right: str) -> bool:
    """Whether one letter missing, added or changed turns ``left`` into ``right``."""
    if abs(len(left) - len(right)) > 1:
        return False
    shorter, longer = sorted((left, right), key=len)
    for index in range(len(longer)):
        if len(left) == len(right):
            if left[:index] + left[index + 1:] == right[:index] + right[index + 1:]:
                return True
        elif longer[:index] + longer[index + 1:] == shorter:
            return True
    return False

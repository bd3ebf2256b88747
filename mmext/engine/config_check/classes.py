"""Number of classes: the same in the dataset and in every head."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .datasets import DatasetConfig
from .problem import Problem

#: Parts of a model whose ``num_classes`` is not that of the dataset: proposals know one class,
#: a semantic branch counts stuff, a backbone carries its pre-training's head.
_OTHER_COUNTS = frozenset(('rpn_head', 'semantic_head', 'backbone', 'teacher', 'reid', 'detector'))

#: Heads whose ``num_classes`` is not a number of classes (STDC's predicts boundaries).
_OTHER_HEADS = frozenset(('STDCHead', ))


def check_class_names(dataset: DatasetConfig) -> Iterator[Problem]:
    """``metainfo`` written in ways that silently mean something else."""
    own = dataset.cfg.get('metainfo')
    if not isinstance(own, Mapping):
        return
    path = f'{dataset.path}.metainfo'
    for old in ('CLASSES', 'PALETTE'):
        if old in own and old.lower() not in own:
            yield Problem(path, f"'{old}' is not read", suggestion=f"write '{old.lower()}'")
    names = own.get('classes')
    if isinstance(names, str) and dataset.class_names is None:
        yield Problem(f'{path}.classes', f"'{names}' is neither a tuple of names nor a file",
                      suggestion=f"for a single class write ('{names}', )")


def check_num_classes(model: Any, datasets: list[DatasetConfig]) -> Iterator[Problem]:
    """Compare each head's ``num_classes`` to the training dataset's."""
    if isinstance(model, Mapping) and 'language_model' in model:
        return  # open vocabulary: num_classes is the longest text, not the data's classes
    counts = {len(names) for names in (one.class_names for one in datasets) if names}
    if len(counts) != 1 or any(one.class_names is None for one in datasets):
        return
    expected = counts.pop()
    metainfo = datasets[0].metainfo
    accepted = {expected, *(len(metainfo[key]) for key in ('thing_classes', 'stuff_classes')
                            if metainfo.get(key))}
    for path, count in _num_classes('model', model):
        if count in accepted:
            continue
        # Labels beyond the head's range break the loss; spare outputs merely learn to stay silent.
        severity = 'error' if count < expected else 'warning'
        name = getattr(datasets[0].cls, '__name__', '')
        yield Problem(path, f'is {count}, but the training data ({name}) has {expected} classes',
                      severity, f'set it to {expected}')


def _num_classes(path: str, value: Any) -> Iterator[tuple[str, int]]:
    if isinstance(value, (list, tuple)):
        for index, one in enumerate(value):
            yield from _num_classes(f'{path}.{index}', one)
    elif isinstance(value, Mapping):
        count = value.get('num_classes')
        is_head = 'type' in value and str(value['type']) not in _OTHER_HEADS
        if isinstance(count, int) and is_head:
            yield f'{path}.num_classes', count
        for key, child in value.items():
            if key not in _OTHER_COUNTS:
                yield from _num_classes(f'{path}.{key}', child)

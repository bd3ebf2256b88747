"""Number of classes: the same in the dataset and in every head."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...errors import nearest
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
    if not isinstance(names, (list, tuple)):
        return
    double = next((name for name, count in Counter(map(repr, names)).items() if count > 1), None)
    if double:
        yield Problem(f'{path}.classes', f'has {double} more than once', suggestion='leave one out')
    palette = own.get('palette')
    if isinstance(palette, (list, tuple)) and palette and len(palette) < len(names):
        yield Problem(f'{path}.palette', f'has {len(palette)} colours for {len(names)} classes',
                      suggestion='give each class one, or leave the palette out')
    yield from _check_subset(dataset, names)


def _check_subset(dataset: DatasetConfig, names: Sequence[Any]) -> Iterator[Problem]:
    """mmseg maps labels by name: classes of the config have to be among the dataset's own."""
    own = getattr(dataset.cls, 'METAINFO', {}).get('classes')
    if not hasattr(dataset.cls, 'get_label_map') or not own:
        return
    for name in names:
        if name not in own:
            near = nearest(str(name), map(str, own), 1)
            yield Problem(f'{dataset.path}.metainfo.classes', f"'{name}' is not a class of "
                          f'{dataset.cls.__name__}', suggestion=f"did you mean '{near[0]}'?" if near else
                          "for other classes use type='BaseSegDataset'")


def check_num_classes(parts: Mapping[str, Any], datasets: list[DatasetConfig],
                      model: Any) -> Iterator[Problem]:
    """Compare every ``num_classes`` to the number of classes in the data.

    Args:
        parts: Key of the config -> its value; where to look.
        datasets: The phase's datasets.
        model: The model; one that reads class names as text has its own meaning of the number.
    """
    if isinstance(model, Mapping) and 'language_model' in model:
        return  # open vocabulary: num_classes is the longest text, not the data's classes
    counts = {len(names) for names in (one.class_names for one in datasets) if names}
    if len(counts) != 1 or any(one.class_names is None for one in datasets):
        return
    expected = counts.pop()
    metainfo = datasets[0].metainfo
    accepted = {expected, *(len(metainfo[key]) for key in ('thing_classes', 'stuff_classes')
                            if isinstance(metainfo.get(key), (list, tuple)))}
    name = getattr(datasets[0].cls, '__name__', '')
    what = 'training' if datasets[0].path.startswith('train') else 'evaluation'
    for key, part in parts.items():
        for path, count in _num_classes(key, part, key == 'data_preprocessor'):
            if count in accepted:
                continue
            # Labels beyond the head's range break the loss; spare outputs only learn to be silent.
            severity = 'error' if count < expected else 'warning'
            yield Problem(path, f'is {count}, but the {what} data ({name}) has {expected} classes',
                          severity, f'set it to {expected}')


def check_same_classes(trained: list[DatasetConfig], evaluated: list[DatasetConfig],
                       model: Any) -> Iterator[Problem]:
    """Report an evaluation that numbers its classes otherwise than the training.

    Only where both use the same kind of dataset: another kind has its classes for a reason
    (trackers learn on one, are judged on another), and so have models that read class names. Where
    classes are merged into one for the training, they do not matter.
    """
    if isinstance(model, Mapping) and ('language_model' in model or 'tracker' in model):
        return
    if any('MergeClasses' in str(step.get('type')) for one in trained
           for step in one.cfg.get('pipeline') or () if isinstance(step, Mapping)):
        return
    known = {tuple(names) for names in (one.class_names for one in trained) if names}
    if len(known) != 1 or any(one.class_names is None for one in trained):
        return
    names = list(known.pop())
    for dataset in evaluated:
        others = dataset.class_names
        if others is None or others == names or dataset.cls not in {one.cls for one in trained}:
            continue
        path = f'{dataset.path}.metainfo.classes'
        if len(others) != len(names):
            text = f'has {len(others)} classes, but the training data has {len(names)}'
        else:
            place = next(index for index, pair in enumerate(zip(names, others)) if pair[0] != pair[1])
            text = (f"calls label {place} '{others[place]}', but the training data calls it "
                    f"'{names[place]}'")
        yield Problem(path, text, 'warning', 'give both the same metainfo')


def check_read_names(tree: Mapping[str, Any], datasets: list[DatasetConfig]) -> Iterator[Problem]:
    """Report a model that reads class names as text and has them in another order than the data.

    Labels are places in both lists, so that every class would get the text of another. Names that only
    one of the two has are no error: text may be worded otherwise than a data set's own name.

    Args:
        tree: The config.
        datasets: The phase's datasets.
    """
    model = tree['model']
    if not isinstance(model, Mapping):
        return
    for dataset in datasets:
        names = [_spoken(name) for name in dataset.class_names or ()]
        path, own = _read_names(model, dataset, _taxonomy(tree, dataset.path))
        for place, (ours, theirs) in enumerate(zip(map(_spoken, own), names)):
            if ours != theirs and ours in names:
                yield Problem(path, f"calls label {place} '{ours}', but {dataset.path} calls it '{theirs}' "
                              f"and '{ours}' is its label {names.index(ours)}",
                              suggestion='give both the same names in the same order')
                break


def _read_names(model: Mapping[str, Any], dataset: DatasetConfig, taxonomy: Any
                ) -> tuple[str, Sequence[Any]]:
    """Where the model has names for the labels of a dataset, and these; empty if it has none."""
    taxonomy = taxonomy or model.get('default_taxonomy')
    for path in ('model.taxonomies', 'model.classes'):
        value: Any = model.get(path.partition('.')[2])
        if isinstance(value, Mapping):
            taxonomy = next(iter(value)) if taxonomy is None and len(value) == 1 else taxonomy
            path, value = f'{path}.{taxonomy}', value.get(taxonomy)
        if isinstance(value, Mapping):
            path, value = f'{path}.classes', value.get('classes')
        if isinstance(value, (list, tuple)):
            return path, value
    head = model.get('panoptic_head')
    if isinstance(head, Mapping):
        trained = dataset.path.startswith('train')
        for key in ('base_classes', 'classes') if trained else ('classes', ):
            if isinstance(head.get(key), (list, tuple)):
                return f'model.panoptic_head.{key}', head[key]
    return '', ()


def _taxonomy(tree: Mapping[str, Any], path: str) -> Any:
    """The taxonomy that an entry of mmext.MultiDataset has, or its name."""
    value: Any = tree
    found = None
    for part in path.split('.'):
        value = value[int(part)] if isinstance(value, (list, tuple)) else value[part]
        if isinstance(value, Mapping) and 'name' in value and 'dataset' in value:
            found = value.get('taxonomy') or value['name']
    return found


def _spoken(name: Any) -> str:
    """The first of several words for a class."""
    return str(name).split(',')[0].strip().lower()


def _num_classes(path: str, value: Any, untyped: bool = False) -> Iterator[tuple[str, int]]:
    if isinstance(value, (list, tuple)):
        for index, one in enumerate(value):
            yield from _num_classes(f'{path}.{index}', one)
    elif isinstance(value, Mapping):
        count = value.get('num_classes')
        is_head = (untyped or 'type' in value) and str(value.get('type')) not in _OTHER_HEADS
        if isinstance(count, int) and is_head:
            yield f'{path}.num_classes', count
        for key, child in value.items():
            if key not in _OTHER_COUNTS:
                yield from _num_classes(f'{path}.{key}', child)

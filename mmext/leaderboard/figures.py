"""One name for each figure and each data set, whichever host or metafile it comes from.

Figures are in percent, as the papers print them; the evaluators' raw values stay in the record.
"""
from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

DETECTION, ORIENTED, INSTANCE = 'Object Detection', 'Oriented Object Detection', 'Instance Segmentation'
SEMANTIC, PANOPTIC = 'Semantic Segmentation', 'Panoptic Segmentation'
CLASSIFICATION, OTHER = 'Image Classification', 'Other'

#: Figures of each task, the one it is ranked by first.
METRICS: Mapping[str, tuple[str, ...]] = {
    DETECTION: ('box AP', 'box AP50', 'box AP75', 'box AP small', 'box AP medium', 'box AP large'),
    ORIENTED: ('mAP', 'AP50', 'AP75'),
    INSTANCE: ('mask AP', 'mask AP50', 'mask AP75', 'mask AP small', 'mask AP medium', 'mask AP large'),
    SEMANTIC: ('mIoU', 'mAcc', 'aAcc'),
    PANOPTIC: ('PQ', 'SQ', 'RQ'),
    CLASSIFICATION: ('Top 1 Accuracy', 'Top 5 Accuracy'),
}
_SIZES = dict(s='small', m='medium', l='large')
_TOP = re.compile(r'top-?(\d+)$')
_COCO = re.compile(r'(?:(.*)_)?(bbox|segm)_mAP(?:_(50|75|s|m|l))?$')


class Figure(NamedTuple):
    """A task and one of its figures."""

    task: str
    metric: str


def _figure(key: str) -> tuple[Figure, float] | None:
    """What an evaluator's metric is called here, and the factor that makes it percent."""
    prefix, _, name = key.rpartition('/')
    found = _COCO.fullmatch(name)
    if found and not found[1]:
        kind, part = ('box', DETECTION) if found[2] == 'bbox' else ('mask', INSTANCE)
        tail = f' {_SIZES[found[3]]}' if found[3] in _SIZES else found[3] or ''
        return Figure(part, f'{kind} AP{tail}'), 100.
    if prefix == 'dota' and name in METRICS[ORIENTED]:
        return Figure(ORIENTED, name), 100.
    if name in METRICS[SEMANTIC] and not prefix:
        return Figure(SEMANTIC, name), 1.
    if prefix == 'coco_panoptic' and name in METRICS[PANOPTIC]:
        return Figure(PANOPTIC, name), 1.
    top = _TOP.fullmatch(name)
    if prefix == 'accuracy' and top:
        return Figure(CLASSIFICATION, f'Top {top[1]} Accuracy'), 1.
    return None


def _rank(figure: Figure) -> tuple[int, int]:
    """By task, the figure that it is ranked by first."""
    order = METRICS[figure.task]
    return list(METRICS).index(figure.task), \
        order.index(figure.metric) if figure.metric in order else len(order)


def figures(metrics: Mapping[str, float | None]) -> dict[Figure, float]:
    """The figures among an evaluator's metrics; all of them as they are if none is known."""
    found = {}
    for key, value in metrics.items():
        known = _figure(key)
        if known and value is not None and value >= 0:  # COCO's -1: there is no such object
            # mAP of 0.3745 is 37.45, not 37.4499999
            found[known[0]] = round(value * known[1], 6)
    if not found:
        return {Figure(OTHER, key): value for key, value in metrics.items() if value is not None}
    return dict(sorted(found.items(), key=lambda one: _rank(one[0])))


def _datasets(dataset: Any) -> Sequence[Mapping[str, Any]]:
    """The data sets inside the wrappers."""
    if not isinstance(dataset, Mapping):
        return []
    inner = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else [])
    return [one for part in inner for one in _datasets(part)] if inner else [dataset]


def _name(dataset: Mapping[str, Any]) -> str:
    root, file = str(dataset.get('data_root') or ''), str(dataset.get('ann_file') or '')
    places = PurePath(root).parts + PurePath(file).parts
    kind = str(dataset.get('type', '')).rpartition('.')[2]
    stem = PurePath(file).stem
    if 'test-dev' in file:
        return 'COCO test-dev'
    if stem == 'instances_val2017' and 'coco' in (part.lower() for part in places):
        return 'COCO'
    if 'ADEChallengeData2016' in places:
        return 'ADE20K'
    if any(part.startswith(('split_ss_dota', 'split_ms_dota')) for part in places):
        return 'DOTAv1.5' if any('1_5' in part or '15' in part for part in places) else 'DOTAv1.0'
    if kind == 'ImageNet' and 'imagenet' in (part.lower() for part in places):
        return 'ImageNet-1k'
    toys = PurePath(os.environ.get('MMEXT_TOY_DATA') or 'data/toy')
    if toys in (PurePath(root), *PurePath(root).parents):
        return f'toy {_FORMATS.get(kind, kind)}'
    folders = [part for part in PurePath(root).parts if part not in ('/', '.', '..')]
    parts = [folders[-1] if folders else kind, stem if stem not in ('', '.') else '']
    return ' '.join(part for part in parts if part) or 'unknown'


_FORMATS = dict(CocoDataset='COCO', ADE20KDataset='ADE20K', ImageNet='ImageNet', CustomDataset='ImageNet',
                DOTADataset='DOTA', RawDOTADataset='DOTA', BaseSegDataset='ADE20K',
                CocoPanopticDataset='COCO panoptic')


def dataset_name(loader: Any) -> str:
    """The name of a dataloader's data.

    'COCO', 'ADE20K', 'ImageNet-1k' and 'DOTAv1.0' only for the sets that the published numbers are of,
    by where the hosts' layouts keep them; other data are called after their folder and file.
    """
    dataset = loader.get('dataset') if isinstance(loader, Mapping) else None
    names = dict.fromkeys(_name(one) for one in _datasets(dataset))
    return ' + '.join(names) or 'unknown'

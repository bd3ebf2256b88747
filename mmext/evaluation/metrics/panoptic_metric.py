"""Panoptic quality, of all classes and of any groups of them, without panopticapi."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmdet.structures import INSTANCE_OFFSET
from mmengine.evaluator import BaseMetric

from ...errors import UserError, did_you_mean
from ...registry import METRICS
from ..arrays import as_array

_CROWD, _VOID = -2, -1


def colour_ids(picture: np.ndarray) -> np.ndarray:
    """Segment ids ``(h, w)`` of a picture ``(h, w, 3)`` in RGB, as COCO's panoptic format has them."""
    return picture.astype(np.int32) @ np.array([1, 256, 256**2], dtype=np.int32)


@METRICS.register_module()
class PanopticMetric(BaseMetric):
    """PQ = sum of IoU / (TP + FP / 2 + FN / 2) of each class, by the rules of panopticapi.

    A segment is found if one of its class overlaps it by more than half of their union, without what
    the prediction has on void. Predictions that are mostly on void, or on a crowd of their class, are
    not counted. Segments of the file whose category is none of the data set's classes are void.

    Source: Kirillov et al., "Panoptic Segmentation" (arXiv 1801.00868); groups as in CGG's open-set
    panoptic segmentation (known things, unknown things, stuff).

    Args:
        ann_file: Annotation file in COCO's panoptic format.
        seg_prefix: Folder of its pictures.
        groups: Names of classes by group; each group gets its PQ, SQ and RQ.
        classwise: Give the PQ of every class too.
        collect_device: As in every metric.
        prefix: Of the names of results.

    Results, in percent: ``PQ``, ``SQ``, ``RQ`` of all classes, the same with ``_th`` and ``_st`` for
    things and stuff, and with ``_<group>``. A class without segments and predictions counts nowhere.

    Raises:
        UserError: If a file cannot be read, a class of a group or a category is missing, or a prediction
            is not as large as its picture.

    Example:
        >>> dict(type='mmext.PanopticMetric', ann_file='data/coco/annotations/panoptic_val2017.json',
        ...      seg_prefix='data/coco/annotations/panoptic_val2017', groups=dict(unknown=['car', 'cow']))
    """

    default_prefix: str | None = 'panoptic'

    def __init__(self,
                 ann_file: str,
                 seg_prefix: str,
                 groups: Mapping[str, Sequence[str]] | None = None,
                 classwise: bool = False,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not Path(ann_file).is_file():
            raise UserError(f"ann_file: there is no file '{ann_file}'")
        self.ann_file, self.seg_prefix = ann_file, Path(seg_prefix)
        self.groups, self.classwise = dict(groups or {}), classwise
        self._truth: dict[Any, dict] = {}
        self._label: dict[int, int] = {}
        self._rows: dict[str, list[int]] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the data set, in the order of the labels."""
        return tuple((self.dataset_meta or {})['classes'])

    def _prepare(self) -> None:
        try:
            content = json.loads(Path(self.ann_file).read_text(encoding='utf-8'))
            truth = {one['image_id']: one for one in content['annotations']}
            ids = {one['name']: one['id'] for one in content['categories']}
            things = {one['name'] for one in content['categories'] if one['isthing']}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f'{self.ann_file} is no panoptic annotation file: {type(error).__name__}: '
                            f'{error}') from None
        rows = {'': list(self.classes), '_th': [name for name in self.classes if name in things],
                '_st': [name for name in self.classes if name not in things],
                **{f'_{group}': list(names) for group, names in self.groups.items()}}
        for names in rows.values():
            for name in names:
                if name not in self.classes:
                    raise UserError(f"groups: '{name}' is none of the data set's classes"
                                    f'{did_you_mean(name, self.classes)}')
                if name not in ids:
                    raise UserError(f"{self.ann_file} has no category '{name}'{did_you_mean(name, ids)}")
        self._label = {ids[name]: label for label, name in enumerate(self.classes)}
        self._rows = {key: [self.classes.index(name) for name in names]
                      for key, names in rows.items() if names}
        self._truth = truth

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare the segments of a batch.

        Args:
            data_batch: Unused.
            data_samples: With ``img_id`` and ``pred_panoptic_seg``: class + 1000 x instance, the number of
                classes for void.
        """
        if not self._truth:
            self._prepare()
        for sample in data_samples:
            truth = self._truth.get(sample['img_id'])
            if truth is None:
                raise UserError(f"{self.ann_file} has no image {sample['img_id']!r}")
            path = self.seg_prefix / truth['file_name']
            picture = mmcv.imread(str(path), channel_order='rgb') if path.is_file() else None
            if picture is None:
                raise UserError(f"there is no picture of segments '{path}'; is seg_prefix right?")
            codes = as_array(sample['pred_panoptic_seg']['sem_seg']).squeeze()
            if codes.shape != picture.shape[:2]:
                raise UserError(f'{path} is {picture.shape[1]} x {picture.shape[0]}, the prediction '
                                f'{codes.shape[1]} x {codes.shape[0]}')
            segments = [one for one in truth['segments_info'] if one['category_id'] in self._label]
            labels = [self._label[one['category_id']] for one in segments]
            labels = [_CROWD - label if one.get('iscrowd') else label for label, one in zip(labels, segments)]
            self.results.append(compare(colour_ids(picture), [one['id'] for one in segments], labels, codes,
                                        len(self.classes)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The figures of all images."""
        if not results:
            raise UserError('PanopticMetric: nothing was evaluated')
        iou, found, extra, missed = np.sum(results, axis=0).T
        counted = found + extra / 2 + missed / 2
        with np.errstate(invalid='ignore'):
            quality = {'PQ': iou / counted, 'SQ': np.where(found > 0, iou / found, 0.), 'RQ': found / counted}
        figures = {}
        for key, rows in self._rows.items():
            rows = [row for row in rows if counted[row]]
            for name, values in quality.items():
                figures[f'{name}{key}'] = 100 * float(values[rows].mean()) if rows else float('nan')
        if self.classwise:
            figures.update({f'{name}_PQ': 100 * float(value)
                            for name, value in zip(self.classes, quality['PQ'])})
        return figures


def compare(truth: np.ndarray, ids: Sequence[int], labels: Sequence[int], codes: np.ndarray,
            num_classes: int) -> np.ndarray:
    """What is found on an image.

    Args:
        truth: Segment ids ``(h, w)``; those that ``ids`` lacks are void.
        ids: Of the segments.
        labels: Of the segments; that of a crowd is -2 - label.
        codes: The prediction ``(h, w)``, class + 1000 x instance; ``num_classes`` is void.
        num_classes: K.

    Returns:
        ``(K, 4)``: sum of IoUs, numbers of segments found, predicted in vain, and missed.
    """
    result = np.zeros((num_classes, 4))
    order = np.argsort(ids)
    # Row 0 is void: pixels of no segment. Column 0 likewise.
    known = np.append([_VOID], np.asarray(labels, dtype=int)[order])
    numbers = np.asarray(ids, dtype=np.int64)[order]
    rows = np.searchsorted(numbers, truth.ravel())
    real = rows < len(numbers)
    real[real] = numbers[rows[real]] == truth.ravel()[real]
    rows = np.where(real, rows + 1, 0)
    predicted, columns = np.unique(codes, return_inverse=True)
    shared = np.bincount(rows * len(predicted) + columns.ravel(),
                         minlength=len(known) * len(predicted)).reshape(len(known), -1)
    classes = predicted % INSTANCE_OFFSET
    void = shared[0]
    union = shared.sum(axis=1)[:, None] + shared.sum(axis=0) - shared - void
    match = (known[:, None] == classes) & (classes < num_classes) & (2 * shared > union)
    for row, column in zip(*match.nonzero()):
        result[known[row], :2] += shared[row, column] / union[row, column], 1
    for row in np.flatnonzero((known >= 0) & ~match.any(axis=1)):
        result[known[row], 3] += 1
    for column in np.flatnonzero((classes < num_classes) & ~match.any(axis=0)):
        crowd = shared[known == _CROWD - classes[column], column].sum()
        if 2 * (void[column] + crowd) <= shared[:, column].sum():
            result[classes[column], 2] += 1
    return result

"""Open-vocabulary instance segmentation: AP50 of base, novel and all classes (CGG and its predecessors).

Generalised: the model is asked for all classes at once, and a class is base or novel when averages are
taken. Constrained: it is asked for one part only, on the images that have something of that part.
"""
from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from ...errors import UserError, did_you_mean
from ...registry import METRICS
from ..arrays import as_array
from .coco_metric import CocoMetric

_ALL = 'all'


@METRICS.register_module()
class OpenVocabularyMetric(BaseMetric):
    """AP at IoU 0.5 of base, novel and all classes, generalised and constrained.

    Args:
        ann_file: COCO annotation file of all classes; those beyond the data set's are left out.
        base_classes: Classes with masks in training; the data set's others are novel.
        metric: 'segm' or 'bbox'.
        classwise: Give the AP of every class too (generalised).
        collect_device: As in every metric.
        prefix: Of the names of results.

    Results: ``generalised_base``, ``generalised_novel``, ``generalised_all``, ``constrained_base``,
    ``constrained_novel`` (where the model gives ``base_instances`` and ``novel_instances``); a class
    without ground truth counts in none.

    Raises:
        UserError: If ``metric`` or a base class is unknown, or the annotation file cannot be read.
    """

    default_prefix: str | None = 'open'

    def __init__(self,
                 ann_file: str,
                 base_classes: Sequence[str],
                 metric: str = 'segm',
                 classwise: bool = False,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if metric not in ('segm', 'bbox'):
            raise UserError(f"metric='{metric}': expected segm or bbox")
        if not Path(ann_file).is_file():
            raise UserError(f"ann_file: there is no file '{ann_file}'")
        self.ann_file, self.base_classes = ann_file, tuple(base_classes)
        self.metric, self.classwise = metric, classwise
        self._parts: dict[str, _Part] = {}

    def _prepared(self) -> dict[str, _Part]:
        if not self._parts:
            classes = tuple(self.dataset_meta['classes'])  # type: ignore[index]
            for name in self.base_classes:
                if name not in classes:
                    raise UserError(f"base class '{name}' is none of the data set's"
                                    f'{did_you_mean(name, classes)}')
            novel = tuple(name for name in classes if name not in self.base_classes)
            # In the order of the data set's labels, whatever the order of base_classes.
            base = tuple(name for name in classes if name in self.base_classes)
            for key, names in ((_ALL, classes), ('base', base), ('novel', novel)):
                if names:
                    self._parts[key] = _Part(self.ann_file, names, classes, self.metric)
        return self._parts

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the results of a batch.

        Args:
            data_batch: Unused.
            data_samples: With ``pred_instances`` and perhaps ``base_instances``, ``novel_instances``;
                labels are the data set's.
        """
        for sample in data_samples:
            kept = {}
            for key, part in self._prepared().items():
                field = 'pred_instances' if key == _ALL else f'{key}_instances'
                if field in sample:
                    kept[key] = part.rows(sample, sample[field])
            self.results.append(kept)  # one for each image: processes' surplus ones are cut off at the end

    def compute_metrics(self, results: list[dict[str, list]]) -> dict[str, float]:
        """All figures of the images."""
        figures: dict[str, float] = {}
        for key, part in self._prepared().items():
            if not any(key in one for one in results):
                continue
            values = part.evaluate([row for one in results for row in one.get(key, ())])
            if key != _ALL:
                figures[f'constrained_{key}'] = _mean(list(values.values()))
                continue
            figures['generalised_all'] = _mean(list(values.values()))
            for name, own in (('base', True), ('novel', False)):
                figures[f'generalised_{name}'] = _mean(
                    [value for one, value in values.items() if (one in self.base_classes) is own])
            if self.classwise:
                figures.update({f'{one}_AP50': value for one, value in values.items()})
        return figures


class _Part:
    """COCO's metric on some of the classes and the images that have one of them."""

    def __init__(self, ann_file: str, names: tuple[str, ...], classes: tuple[str, ...], metric: str) -> None:
        try:
            content = json.loads(Path(ann_file).read_text(encoding='utf-8'))
            ids = {one['name']: one['id'] for one in content['categories']}
            missing = [name for name in names if name not in ids]
            if missing:
                raise UserError(f"{ann_file} has no category '{missing[0]}'{did_you_mean(missing[0], ids)}")
            kept = {ids[name] for name in names}
            truth = [one for one in content['annotations'] if one['category_id'] in kept]
            self.images = {one['image_id'] for one in truth}
            images = [one for one in content['images'] if one['id'] in self.images]
            categories = [one for one in content['categories'] if one['id'] in kept]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f'{ann_file} is no COCO annotation file: {type(error).__name__}: {error}'
                            ) from None
        self._folder = tempfile.TemporaryDirectory(prefix='mmext-open-')
        part = Path(self._folder.name, 'part.json')
        part.write_text(json.dumps(dict(images=images, annotations=truth, categories=categories)))
        # The file's own order of categories is that of COCO's metric.
        self.names = tuple(one['name'] for one in categories)
        self._label = np.full(len(classes), -1)
        self._label[[classes.index(name) for name in self.names]] = np.arange(len(self.names))
        self.metric = CocoMetric(str(part), metric=metric, classwise=True, iou_thrs=0.5,
                                 metric_items=['mAP'])
        self.metric.dataset_meta = dict(classes=self.names)

    def rows(self, sample: dict, found: dict) -> list:
        """What COCO's metric keeps of the instances ``found`` on an image; nothing of other images."""
        if sample['img_id'] not in self.images:
            return []
        labels = self._label[as_array(found['labels'])]
        keep = labels >= 0
        kept = {key: [one for one, own in zip(value, keep) if own] if isinstance(value, list)
                else as_array(value)[keep] for key, value in found.items() if key != 'labels'}
        self.metric.process({}, [dict(img_id=sample['img_id'], ori_shape=sample['ori_shape'],
                                      pred_instances=dict(kept, labels=labels[keep]))])
        rows = list(self.metric.results)
        self.metric.results.clear()
        return rows

    def evaluate(self, rows: list) -> dict[str, float]:
        """AP50 by class; NaN for a class without ground truth."""
        if not self.images:
            return dict.fromkeys(self.names, float('nan'))
        figures = self.metric.compute_metrics(rows)
        return {name: float(figures[f'{name}_precision']) for name in self.names}


def _mean(values: list[float]) -> float:
    valid = [value for value in values if not np.isnan(value)]
    return float(np.mean(valid)) if valid else float('nan')

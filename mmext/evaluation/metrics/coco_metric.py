"""COCO's metric without the detour over JSON.

mmdet's ``CocoMetric`` turns every box into a dict, writes all of them to a file, reads them back, and
evaluates in Python. Here detections stay arrays from the model to the evaluation, which a compiled
backend does. See docs/benchmarks/metrics.md for what that is worth.
"""
from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get_local_path
from mmengine.logging import MMLogger
from pycocotools import mask as mask_utils
from terminaltables import AsciiTable

from ...apis.writers import replacing
from ...errors import UserError, did_you_mean
from ...registry import METRICS
from ..arrays import as_array
from ..coco import CocoTables, Detections, Truth, choose_backend, evaluate
from ..coco.columns import collect_detections, make_truth, read_truth, without_categories
from ..coco.recall import proposal_recall

_METRICS = ('bbox', 'segm', 'proposal', 'proposal_fast')
_AP_ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
_AR_ITEMS = ('AR@100', 'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000')


@METRICS.register_module()
class CocoMetric(BaseMetric):
    """COCO's box, mask and proposal metrics; takes the place of ``mmdet.CocoMetric`` in any config.

    Names and values of the results are mmdet's, but for these cases:

    - No detection at all scores 0; mmdet then returns nothing.
    - Per-class values belong to the class they name; mmdet mixes them up if the file's categories
      are not in the order of their ids. 'mAP_50' and 'mAP_75' of a class are those whatever
      ``iou_thrs`` are, and NaN if 0.5 or 0.75 is none of them.
    - 'proposal_fast' finds its images by id and sorts proposals by score; mmdet takes it that they
      come so (and fails with numpy 2).
    - Labels, scores, boxes and images that cannot be are an error (see Raises).

    A class without ground truth counts in no average (COCO's rule); its own value is NaN. An image of
    the annotation file without a result counts as one where nothing was found. Boxes that reach
    beyond the image are not clipped.

    Args:
        ann_file: COCO annotation file. Without it the ground truth is that of the samples'
            ``instances``.
        metric: One or several of 'bbox', 'segm', 'proposal' (average recall without regard to
            classes, as COCO computes it), 'proposal_fast' (average recall as mmdet computes it).
        classwise: Also give the AP of each class, ``<class>_precision``, and a table.
        proposal_nums: At least three numbers of detections per image.
        iou_thrs: IoU threshold or thresholds; None means 0.5, 0.55 .. 0.95.
        metric_items: Which figures to return; None means the six of AP, or of AR for proposals.
        format_only: Only write the result files, which needs ``outfile_prefix``.
        outfile_prefix: Where to write result files, ``<prefix>.bbox.json`` and
            ``<prefix>.segm.json``. None writes none.
        backend_args: Of mmengine's file backend, to read ``ann_file``.
        collect_device: 'cpu' or 'gpu': where results of all processes come together.
        prefix: Of the names of results.
        sort_categories: Number the classes by category id instead of by the file's order
            (``Objects365V1Dataset``).
        use_mp_eval: Accepted for mmdet's configs; every backend here is faster than processes.
        backend: 'hotcoco', 'faster_coco_eval', 'pycocotools', or 'auto': the first of them that is
            installed. All give the same numbers.

    Attributes:
        tables (dict[str, CocoTables]): After an evaluation, what its figures are averages of.

    Raises:
        UserError: For an unknown metric, item or backend; while evaluating for results of images
            that the ground truth does not have, two results of an image, labels beyond the classes,
            and scores or boxes that are not finite. Nothing is written then.

    Example:
        >>> dict(type='mmext.CocoMetric', ann_file='data/coco/annotations/instances_val2017.json',
        ...      metric=['bbox', 'segm'], classwise=True)
    """

    default_prefix: str | None = 'coco'

    def __init__(self,
                 ann_file: str | None = None,
                 metric: str | Sequence[str] = 'bbox',
                 classwise: bool = False,
                 proposal_nums: Sequence[int] = (100, 300, 1000),
                 iou_thrs: float | Sequence[float] | None = None,
                 metric_items: Sequence[str] | None = None,
                 format_only: bool = False,
                 outfile_prefix: str | None = None,
                 backend_args: dict | None = None,
                 collect_device: str = 'cpu',
                 prefix: str | None = None,
                 sort_categories: bool = False,
                 use_mp_eval: bool = False,
                 backend: str = 'auto') -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.metrics = [metric] if isinstance(metric, str) else list(metric)
        for one in self.metrics:
            _check('metric', one, _METRICS)
        for item in metric_items or ():
            _check('metric_items', item, _AP_ITEMS + _AR_ITEMS)
        if len(proposal_nums) < 3:
            raise UserError(f'proposal_nums={tuple(proposal_nums)}: COCO needs three numbers, for '
                            'example (100, 300, 1000)')
        if format_only and outfile_prefix is None:
            raise UserError('format_only=True needs outfile_prefix, where the result files go')
        self.ann_file = ann_file
        self.classwise = classwise
        self.limits = sorted(int(one) for one in proposal_nums)
        self.iou_thrs = np.atleast_1d(np.asarray(
            np.linspace(0.5, 0.95, 10) if iou_thrs is None else iou_thrs, np.float64))
        self.metric_items = metric_items
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        self.backend_args = backend_args
        self.sort_categories = sort_categories
        self.use_mp_eval = use_mp_eval
        self.backend = choose_backend(backend)
        self.tables: dict[str, CocoTables] = {}
        self._truth: Truth | None = None
        self._rles: Truth | None = None
        if ann_file is not None and backend_args is None and not Path(ann_file).is_file():
            raise UserError(f"ann_file: there is no file '{ann_file}'")

    # ------------------------------------------------------------------------------- collecting

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of one batch as arrays, masks as RLEs.

        Args:
            data_batch: Unused.
            data_samples: With ``img_id``, ``ori_shape``, ``pred_instances`` (bboxes (n, 4) x1, y1,
                x2, y2, scores, labels, perhaps masks (n, h, w) and mask_scores) and, without
                ``ann_file``, ``instances``.

        Raises:
            UserError: If there is neither ``ann_file`` nor ``instances``.
        """
        for sample in data_samples:
            found = sample['pred_instances']
            result: dict[str, Any] = {key: as_array(found[key]) for key in ('bboxes', 'scores', 'labels')}
            result['img_id'] = sample['img_id']
            if 'masks' in found and ('segm' in self.metrics or self.outfile_prefix is not None):
                result['masks'] = _rles(found['masks'])
            if 'mask_scores' in found:
                result['mask_scores'] = as_array(found['mask_scores'])
            truth = None
            if self.ann_file is None:
                if 'instances' not in sample:
                    raise UserError("CocoMetric has no ground truth: give ann_file, or 'instances' in "
                                    'meta_keys of PackDetInputs')
                height, width = sample['ori_shape'][:2]
                truth = dict(height=height, width=width, instances=sample['instances'])
            self.results.append((truth, result))

    # ------------------------------------------------------------------------------- evaluating

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The figures of all results. See the class for names, errors and corner cases."""
        logger = MMLogger.get_current_instance()
        truths, answers = [one[0] for one in results], [one[1] for one in results]
        truth = self._load_truth(truths, answers)
        boxes = collect_detections(answers, truth)
        by_mask = boxes if boxes.masks is not None else None
        if by_mask is not None and any('mask_scores' in one for one in answers):
            own = [dict(one, scores=one.get('mask_scores', one['scores'])) for one in answers]
            by_mask = collect_detections(own, truth)
        if 'segm' in self.metrics and by_mask is None and len(boxes):
            raise UserError("metric 'segm': the predictions have no masks")

        if self.outfile_prefix is not None:
            self._write(truth, boxes, by_mask)
        figures: OrderedDict[str, float] = OrderedDict()
        if self.format_only:
            logger.info(f'results are saved in {Path(self.outfile_prefix or "").parent}')
            return figures
        if len(answers) < len(truth.image_ids):
            logger.warning(f'{len(truth.image_ids) - len(answers)} of {len(truth.image_ids)} images of '
                           f'{truth.source} have no result; their objects count as missed')
        if not len(boxes):
            logger.warning('nothing was found in any image: every figure is 0')
        self.tables = {}
        for metric in self.metrics:
            if metric == 'proposal_fast':
                figures.update(self._fast_recall(truth, answers))
                continue
            self.tables[metric] = self._evaluate(metric, truth, boxes, by_mask)
            figures.update(self._figures(metric, logger))
        return figures

    def _load_truth(self, truths: list, answers: list[dict]) -> Truth:
        if self._truth is not None:
            return self._truth
        classes = (self.dataset_meta or {}).get('classes')
        if self.ann_file is None:
            # samples change from one evaluation to the next only if the loader does: never kept
            return make_truth(_coco_content(truths, answers, classes), 'ground truth of the samples',
                              classes)
        with get_local_path(self.ann_file, backend_args=self.backend_args) as path:
            truth = read_truth(path, str(self.ann_file), classes)
        if self.sort_categories:
            truth.labels.sort()
        self._truth = truth
        return truth

    def _evaluate(self, metric: str, truth: Truth, boxes: Detections, by_mask: Detections | None
                  ) -> CocoTables:
        if metric == 'segm':
            if self._truth is None:
                truth = truth.with_rles()
            else:  # polygons are drawn once, not at every evaluation
                self._rles = truth = self._rles or self._truth.with_rles()
            found = by_mask if by_mask is not None else replace(boxes, masks=[])  # of none
            return evaluate(truth, found, 'segm', self.iou_thrs, self.limits, self.backend)
        if metric == 'proposal':
            truth, boxes = without_categories(truth, boxes)
        return evaluate(truth, boxes, 'bbox', self.iou_thrs, self.limits, self.backend)

    def _figures(self, metric: str, logger: MMLogger) -> dict[str, float]:
        tables = self.tables[metric]
        all_figures = tables.figures()
        rows = [[name, f'{value:.3f}'] for name, value in all_figures.items()]
        logger.info(f'{metric}\n' + AsciiTable([['figure', 'value'], *rows]).table)
        figures = {}
        if self.classwise and metric != 'proposal':
            figures.update(_classwise(tables, logger))
        prefix = '' if metric == 'proposal' else f'{metric}_'
        for item in self.metric_items or (_AR_ITEMS if metric == 'proposal' else _AP_ITEMS):
            figures[prefix + item] = round(all_figures[item], 3)
        if metric != 'proposal':
            logger.info(f'{metric}_mAP_copypaste: '
                        + ' '.join(f'{all_figures[item]:.3f}' for item in _AP_ITEMS))
        return figures

    def _fast_recall(self, truth: Truth, answers: list[dict]) -> dict[str, float]:
        corners = truth.boxes.astype(np.float64)
        corners[:, 2:] += corners[:, :2]
        by_id = {one['img_id']: one['bboxes'][np.argsort(-one['scores'], kind='stable')]
                 for one in answers}
        objects, proposals = [], []
        for i, key in enumerate(truth.image_ids):
            objects.append(corners[(truth.image == i) & ~truth.crowd].astype(np.float32))
            proposals.append(by_id.get(key, np.zeros((0, 4), np.float32)))
        recalls = proposal_recall(objects, proposals, self.limits, self.iou_thrs)
        return {f'AR@{limit}': float(value) for limit, value in zip(self.limits, recalls)}

    # ---------------------------------------------------------------------------------- writing

    def _write(self, truth: Truth, boxes: Detections, by_mask: Detections | None) -> None:
        _write_json(Path(f'{self.outfile_prefix}.bbox.json'), _rows(truth, boxes))
        if by_mask is not None:
            rows = _rows(truth, by_mask)
            for row, mask in zip(rows, by_mask.masks or ()):
                counts = mask['counts']
                row['segmentation'] = dict(size=list(mask['size']), counts=counts.decode()
                                           if isinstance(counts, bytes) else counts)
            _write_json(Path(f'{self.outfile_prefix}.segm.json'), rows)


def _check(argument: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UserError(f"{argument}: '{value}' is none of {', '.join(choices)}"
                        f'{did_you_mean(str(value), choices)}')


def _rles(masks: Any) -> list[dict]:
    """(n, h, w) masks as RLEs; what is no array is taken to be RLEs."""
    if not isinstance(masks, (torch.Tensor, np.ndarray)):
        return list(masks)
    bitmaps = as_array(masks)
    if not len(bitmaps):
        return []
    return mask_utils.encode(np.asfortranarray(bitmaps.transpose(1, 2, 0).astype(np.uint8)))


def _coco_content(truths: list[dict], answers: list[dict], classes: Sequence[str] | None
                  ) -> Mapping[str, Any]:
    """The ground truth that came with the samples, as the content of a COCO file."""
    if classes is None:
        raise UserError('CocoMetric without ann_file needs the classes in the metainfo of the data set')
    images: list[dict] = []
    annotations: list[dict] = []
    for truth, answer in zip(truths, answers):
        images.append(dict(id=answer['img_id'], height=truth['height'], width=truth['width']))
        for one in truth['instances']:
            x1, y1, x2, y2 = (float(value) for value in one['bbox'])
            annotations.append(dict(
                id=len(annotations) + 1, image_id=answer['img_id'], category_id=int(one['bbox_label']),
                bbox=[x1, y1, x2 - x1, y2 - y1], iscrowd=one.get('ignore_flag', 0),
                segmentation=one.get('mask')))
    categories = [dict(id=i, name=name) for i, name in enumerate(classes)]
    return dict(images=images, categories=categories, annotations=annotations)


def _rows(truth: Truth, found: Detections) -> list[dict]:
    """Detections as the rows of a COCO result file, with the file's own ids."""
    return [
        dict(image_id=truth.image_ids[image], bbox=box, score=score,
             category_id=truth.category_ids[category])
        for image, box, score, category in zip(found.image.tolist(), found.boxes.tolist(),
                                               found.scores.tolist(), found.category.tolist())
    ]


def _write_json(path: Path, rows: list[dict]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(rows), encoding='utf-8')


def _classwise(tables: CocoTables, logger: MMLogger) -> dict[str, float]:
    """AP of each class as mmdet names it, and the table in the log."""

    def rounded(value: float) -> float:
        return round(value, 3) if value > -1 else float('nan')

    figures, rows = {}, []
    for i, name in enumerate(tables.names):
        values = [tables.ap(category=i), tables.ap(0.5, category=i), tables.ap(0.75, category=i),
                  *(tables.ap(area=area, category=i) for area in ('small', 'medium', 'large'))]
        figures[f'{name}_precision'] = rounded(values[0])
        rows.append([name, *(str(rounded(value)) for value in values)])
    logger.info('\n' + AsciiTable([['category', *_AP_ITEMS], *rows]).table)
    return figures

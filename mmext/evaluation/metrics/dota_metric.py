"""DOTA's metric: every overlap computed once, tiles merged and evaluated as whole pictures.

mmrotate's ``DOTAMetric`` starts four processes for each threshold, sends them everything and
computes all overlaps again; it merges tiles but then cannot evaluate them. See
docs/benchmarks/metrics.md.
"""
from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from terminaltables import AsciiTable

from ...apis.writers import replacing
from ...errors import UserError, did_you_mean
from ...registry import METRICS
from ..arrays import ImageCheck, as_array
from ..rotated.files import read_labels, write_task1
from ..rotated.matching import ClassResult, Found, Objects, evaluate
from ..rotated.polygons import corners_of
from ..rotated.tiles import merge_tiles

_WIDTHS = {'rbox': 5, 'qbox': 8}


@METRICS.register_module()
class DOTAMetric(BaseMetric):
    """Mean average precision of oriented boxes; takes the place of ``mmrotate.DOTAMetric``.

    Evaluates in one of two ways:

    - Each image by itself, against the ground truth of its sample. The figures of oriented boxes are
      mmrotate's to the last digit. Those of quadrilaterals ('qbox') are not: mmcv's kernel for them
      loses a part of the intersection wherever two sides are almost parallel, for every third pair of a
      detection and its object.
    - ``merge_patches=True`` with ``ann_file``: detections of the tiles are moved to their pictures,
      merged by rotated NMS, and evaluated on the whole pictures against DOTA's label files, corner by
      corner, as the DOTA server does it: ``mmext test CONFIG CHECKPOINT --cfg-options
      test_evaluator.merge_patches=True test_evaluator.ann_file=data/DOTA/val/labelTxt``.

    With ``merge_patches`` and ``outfile_prefix`` the merged detections are also written as a Task 1
    submission, scores with all their digits.

    A class without objects counts in no average, and its own AP is 0. Nothing found scores 0. A picture
    of ``ann_file`` without a tile counts as one where nothing was found. Boxes that reach beyond their
    image stay as they are.

    Args:
        iou_thrs: IoU threshold or thresholds, over 0. AP50:95 is the 'mAP' of
            ``[0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]``.
        scale_ranges: Must be None; mmrotate has the argument but not what it should do.
        metric: 'mAP'.
        predict_box_type: 'rbox' or 'qbox'.
        format_only: Only write results, which needs ``outfile_prefix``.
        outfile_prefix: Detections are written to ``<prefix>.bbox.json``, with ``merge_patches`` to a
            new folder of this name. None writes nothing.
        merge_patches: The images are tiles that mmrotate's img_split (or DOTA_devkit) has cut.
        iou_thr: IoU from which two detections of one class in the overlap of tiles are one.
        eval_mode: '11points' (PASCAL VOC 2007, DOTA's server) or 'area' (under the curve).
        collect_device: 'cpu' or 'gpu': where results of all processes come together.
        prefix: Of the names of results.
        ann_file: Folder of the whole pictures' label files (``labelTxt``); needs ``merge_patches``.
        diff_thr: Objects of ``ann_file`` that are more difficult than this count neither way.
        classwise: Also return the figures of each class, ``<class>_AP50`` and so on and
            ``<class>_mAP``.
        iou_kernel: 'exact': polygons in double precision; 'mmcv': the kernels that mmrotate's metric
            uses; 'auto': 'mmcv' for oriented boxes image by image, else 'exact'.

    Attributes:
        class_results (list[ClassResult]): After an evaluation, curves and counts of each class.

    Raises:
        UserError: For arguments that do not fit each other and an ``outfile_prefix`` that exists;
            while evaluating for two results of an image, pictures that ``ann_file`` does not have,
            labels beyond the classes, boxes of the wrong kind, scores or boxes that are not finite,
            and samples without ground truth. Nothing is written then.

    Example:
        >>> dict(type='mmext.DOTAMetric', iou_thrs=[0.5, 0.75], classwise=True)
    """

    default_prefix: str | None = 'dota'

    def __init__(self,
                 iou_thrs: float | Sequence[float] = 0.5,
                 scale_ranges: None = None,
                 metric: str | Sequence[str] = 'mAP',
                 predict_box_type: str = 'rbox',
                 format_only: bool = False,
                 outfile_prefix: str | None = None,
                 merge_patches: bool = False,
                 iou_thr: float = 0.1,
                 eval_mode: str = '11points',
                 collect_device: str = 'cpu',
                 prefix: str | None = None,
                 ann_file: str | None = None,
                 diff_thr: int = 0,
                 classwise: bool = False,
                 iou_kernel: str = 'auto') -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.iou_thrs = [float(one) for one in np.atleast_1d(np.asarray(iou_thrs, np.float64))]
        for threshold in (*self.iou_thrs, iou_thr):
            if not 0.001 <= threshold <= 1:
                raise UserError(f'iou_thrs, iou_thr: {threshold} is not from 0.001 to 1')
        if scale_ranges is not None:
            raise UserError('scale_ranges: not supported, by mmrotate neither; leave it out')
        for argument, value, choices in (
                ('metric', metric if isinstance(metric, str) else ', '.join(metric), ('mAP', )),
                ('predict_box_type', predict_box_type, tuple(_WIDTHS)),
                ('eval_mode', eval_mode, ('11points', 'area')),
                ('iou_kernel', iou_kernel, ('auto', 'mmcv', 'exact'))):
            if value not in choices:
                raise UserError(f"{argument}: '{value}' is not {' or '.join(choices)}"
                                f'{did_you_mean(value, choices)}')
        if format_only and outfile_prefix is None:
            raise UserError('format_only=True needs outfile_prefix, where the results go')
        if ann_file is not None and not merge_patches:
            raise UserError('ann_file is the ground truth of whole pictures: it needs merge_patches=True')
        if merge_patches and ann_file is None and outfile_prefix is None:
            raise UserError('merge_patches=True needs ann_file to evaluate, outfile_prefix to write the '
                            'submission, or both')
        if ann_file is not None and not Path(ann_file).is_dir():
            raise UserError(f"ann_file: there is no folder '{ann_file}'")
        if merge_patches and outfile_prefix is not None and Path(outfile_prefix).exists():
            raise UserError(f"outfile_prefix: '{outfile_prefix}' is there already; remove it or choose "
                            'another')
        self.predict_box_type = predict_box_type
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        self.merge_patches = merge_patches
        self.iou_thr = iou_thr
        self.use_07_metric = eval_mode == '11points'
        self.ann_file = ann_file
        self.diff_thr = diff_thr
        self.classwise = classwise
        self.exact = iou_kernel == 'exact' or (
            iou_kernel == 'auto' and (merge_patches or predict_box_type == 'qbox'))
        self.class_results: list[ClassResult] = []
        self._written = False

    # ------------------------------------------------------------------------------- collecting

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep predictions and ground truth of one batch as arrays.

        Args:
            data_batch: Unused.
            data_samples: With ``img_id``, ``pred_instances`` (bboxes (n, 5 or 8), scores, labels)
                and, to be evaluated, ``gt_instances`` and ``ignored_instances`` (bboxes, labels).
        """
        for sample in data_samples:
            found = sample['pred_instances']
            result = {key: as_array(found[key]) for key in ('bboxes', 'scores', 'labels')}
            truth = None
            if len(sample.get('gt_instances', ())):
                truth = tuple(
                    {key: as_array(sample[side][key]) for key in ('bboxes', 'labels')}
                    if len(sample.get(side, ())) else None
                    for side in ('gt_instances', 'ignored_instances'))
            self.results.append((truth, dict(result, img_id=sample['img_id'])))

    # ------------------------------------------------------------------------------- evaluating

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The figures of all results. See the class for names, errors and corner cases."""
        logger = MMLogger.get_current_instance()
        truths, answers = [one[0] for one in results], [one[1] for one in results]
        classes = list((self.dataset_meta or {})['classes'])
        self._check(answers, len(classes))
        if self.merge_patches:
            return self._whole_pictures(answers, classes, logger)
        objects = None if self.format_only else self._objects(truths, answers)
        if self.outfile_prefix is not None:
            self._write_json(answers)
            logger.info(f'results are saved in {self.outfile_prefix}.bbox.json')
        if objects is None:
            return OrderedDict()
        return self._figures(objects, _pack(answers, _WIDTHS[self.predict_box_type]), classes, logger)

    def _whole_pictures(self, answers: list[dict], classes: list[str], logger: MMLogger
                        ) -> dict[str, float]:
        pictures, found = merge_tiles(answers, self.iou_thr, len(classes))
        objects = None
        if self.ann_file is not None and not self.format_only:
            names, objects = read_labels(self.ann_file, classes, self.diff_thr)
            unknown = [name for name in pictures if name not in set(names)]
            if unknown:
                raise UserError(f"ann_file: '{self.ann_file}' has no labels of {len(unknown)} of "
                                f"{len(pictures)} pictures, the first is '{unknown[0]}'")
            if len(pictures) < len(names):
                logger.warning(f'{len(names) - len(pictures)} of {len(names)} pictures of '
                               f'{self.ann_file} have no tile; their objects count as missed')
        if self.outfile_prefix is not None:
            archive = write_task1(Path(self.outfile_prefix), pictures, found, classes, self._written)
            self._written = True
            logger.info(f'the submission is {archive}')
        if objects is None:
            return OrderedDict()
        number = {name: i for i, name in enumerate(names)}
        image = np.array([number[name] for name in pictures], np.int64)[found.image] \
            if len(found) else found.image
        corners = corners_of(found.boxes).reshape(-1, 8)
        whole = Found(image, found.label, corners, found.scores)
        return self._figures(objects, whole, classes, logger)

    def _figures(self, objects: Objects, found: Found, classes: list[str], logger: MMLogger
                 ) -> dict[str, float]:
        self.class_results = evaluate(objects, found, self.iou_thrs, len(classes), self.use_07_metric,
                                      self.exact)
        if not len(found):
            logger.warning('nothing was found in any image: every figure is 0')
        there = [one.ap for one in self.class_results if one.objects]
        # a mean of single-precision values for each threshold, as mmrotate takes it
        means = [float(np.array(column, np.float32).mean()) for column in zip(*there)] \
            or [0.0] * len(self.iou_thrs)
        labels = [f'AP{round(threshold * 100):02d}' for threshold in self.iou_thrs]
        figures: OrderedDict[str, float] = OrderedDict(mAP=sum(means) / len(means))
        figures.update((label, round(mean, 3)) for label, mean in zip(labels, means))
        rows = []
        for name, one in zip(classes, self.class_results):
            own = [*(float(value) for value in one.ap), float(one.ap.mean())]
            rows.append([name, one.objects, one.found,
                         f'{one.recall[0, -1] if one.found else 0:.3f}', *(f'{ap:.3f}' for ap in own)])
            if self.classwise:
                figures.update((f'{name}_{label}', round(ap, 3))
                               for label, ap in zip([*labels, 'mAP'], own))
        rows.append(['mean', '', '', '', *(f'{mean:.3f}' for mean in means), f"{figures['mAP']:.3f}"])
        table = AsciiTable([['class', 'objects', 'found', 'recall', *labels, 'mAP'], *rows])
        table.inner_footing_row_border = True
        logger.info('\n' + table.table)
        return figures

    def _check(self, answers: list[dict], classes: int) -> None:
        """See the class for the errors."""
        check = ImageCheck(classes)
        width = _WIDTHS[self.predict_box_type]
        for answer in answers:
            name, boxes = answer['img_id'], answer['bboxes']
            if len(boxes) and boxes.shape[1:] != (width, ):
                raise UserError(f'image {name!r}: boxes of shape {boxes.shape}, but predict_box_type='
                                f"'{self.predict_box_type}' means (n, {width})")
            check(name, boxes, answer['scores'], answer['labels'])

    def _objects(self, truths: list, answers: list[dict]) -> Objects:
        """The ground truth of the samples, those that are not difficult first in each image."""
        width = _WIDTHS[self.predict_box_type]
        if truths and all(truth is None for truth in truths):
            raise UserError('the samples have no ground truth: is LoadAnnotations missing in the '
                            'pipeline? Without labels use format_only=True')
        rows: list[tuple[np.ndarray, ...]] = [(
            np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, width), np.float32),
            np.zeros(0, bool))]
        for image, truth in enumerate(truths):
            for difficult, side in enumerate(truth or ()):
                if side is None or not len(side['labels']):
                    continue
                if side['bboxes'].shape[1] != width:
                    raise UserError(
                        f"image {answers[image]['img_id']!r}: ground truth of shape "
                        f"{side['bboxes'].shape}, but predict_box_type='{self.predict_box_type}' means "
                        f'(n, {width}); see ConvertBoxType in the pipeline')
                count = len(side['labels'])
                rows.append((np.full(count, image), side['labels'], side['bboxes'],
                             np.full(count, bool(difficult))))
        images, labels, boxes, hard = (np.concatenate(column) for column in zip(*rows))
        return Objects(images, labels.astype(np.int64), boxes.astype(np.float32), hard)

    def _write_json(self, answers: list[dict]) -> None:
        rows = [
            dict(image_id=answer['img_id'], bbox=box, score=score, category_id=label)
            for answer in answers
            for box, score, label in zip(answer['bboxes'].tolist(), answer['scores'].tolist(),
                                         answer['labels'].tolist())
        ]
        with replacing(Path(f'{self.outfile_prefix}.bbox.json')) as temporary:
            temporary.write_text(json.dumps(rows), encoding='utf-8')


def _pack(answers: list[dict], width: int) -> Found:
    counts = [len(one['labels']) for one in answers]
    return Found(
        np.repeat(np.arange(len(answers)), counts),
        np.concatenate([np.zeros(0, np.int64), *(one['labels'] for one in answers)]).astype(np.int64),
        np.concatenate([np.zeros((0, width), np.float32), *(
            one['bboxes'].reshape(-1, width) for one in answers)]).astype(np.float32),
        np.concatenate([np.zeros(0, np.float32), *(one['scores'] for one in answers)]).astype(np.float32))

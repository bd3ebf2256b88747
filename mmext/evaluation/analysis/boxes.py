"""Objects and detections of a data set as columns, and which of them overlap."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import UserError
from ..arrays import ImageCheck, as_array
from ..rotated.geometry import horizontal_hulls, meeting_pairs
from ..rotated.matching import Found, Objects
from ..rotated.polygons import corners_of, polygon_ious

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


def read_boxes(dataset: Any, predictions: Sequence[Mapping[str, Any]]) -> tuple[Objects, Found]:
    """Ground truth of a detection data set and predictions for it.

    Args:
        dataset: An mmdet or mmrotate data set; its ``instances`` have upright boxes (x1, y1, x2, y2) or
            four corners.
        predictions: The records of a ``.pkl`` of ``mmext test --out``: ``img_id`` and
            ``pred_instances``.

    Returns:
        Objects and detections with boxes of 4 columns or, oriented, of 8.

    Raises:
        UserError: If the predictions are not of this data set or its classes, have no boxes, or scores
            that are not finite.
    """
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    number = {info['img_id']: i for i, info in enumerate(infos)}
    rows, boxes = [], []
    for image, info in enumerate(infos):
        for one in info['instances']:
            if len(one['bbox']):  # mmrotate writes an empty one for pictures without labels
                rows.append((image, one['bbox_label'], one['ignore_flag']))
                boxes.append(one['bbox'])
    columns = np.array(rows, np.int64).reshape(-1, 3)
    width = len(boxes[0]) if boxes else 4

    check = ImageCheck(len(dataset.metainfo['classes']))
    parts = []
    for record in predictions:
        if 'pred_instances' not in record:
            raise UserError('the predictions have no pred_instances; are they those of a detector?')
        name, found = record['img_id'], record['pred_instances']
        if name not in number:
            raise UserError(f'there are predictions for image {name!r}, which the data set does not have')
        answer, labels, scores = (as_array(found[key]) for key in ('bboxes', 'labels', 'scores'))
        check(name, answer, scores, labels)
        if width == 8 and len(answer):
            answer = corners_of(answer).reshape(-1, 8)
        if len(answer):
            parts.append((np.full(len(labels), number[name]), labels, answer, scores))
    parts.append((np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, width)), np.zeros(0)))
    images, label, answer, scores = (np.concatenate(column) for column in zip(*parts))
    return (
        Objects(columns[:, 0], columns[:, 1], np.array(boxes, np.float64).reshape(-1, width),
                columns[:, 2].astype(bool)),
        Found(images.astype(np.int64), label.astype(np.int64), answer, scores))


def overlaps(objects: Objects, found: Found) -> Pairs:
    """All overlapping pairs of a detection and an object of the same image, whatever their classes.

    Returns:
        (P, ) rows of detections, rows of objects, and IoU; with an upright crowd, the share of the
        detection that it covers (COCO's rule).
    """
    a, b = meeting_pairs(found.boxes, objects.boxes, found.image, objects.image)
    first, second = found.boxes[a], objects.boxes[b]
    if first.shape[1] != 4:
        ious = polygon_ious(corners_of(first), corners_of(second))
    else:
        one, other = horizontal_hulls(first), horizontal_hulls(second)
        common = (np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])) \
            .clip(0).prod(axis=1)
        area, other_area = ((box[:, 2:] - box[:, :2]).prod(axis=1) for box in (one, other))
        whole = np.where(objects.difficult[b], area, area + other_area - common)
        ious = common / np.maximum(whole, 1e-12)
    real = ious > 0
    return a[real], b[real], ious[real]


def greedy_match(objects: Objects, found: Found, pairs: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give objects to detections as COCO does.

    The detections of an image choose by falling score, each the object that is still free and overlaps
    most. Objects that are difficult (or crowds) are chosen last and never used up.

    Args:
        pairs: Those of :func:`overlaps` that may match.

    Returns:
        (N, ) int64, the object of each detection or -1; (N, ) bool, whether the detection counts at all:
        not if its object is difficult; (M, ) bool, whether an object is taken.
    """
    a, b, ious = pairs
    order = np.lexsort((-ious, objects.difficult[b], a, -found.scores[a]))
    owner = np.full(len(found), -1)
    taken = np.zeros(len(objects.image), bool)
    for detection, thing in zip(a[order].tolist(), b[order].tolist()):
        if owner[detection] < 0 and not taken[thing]:
            owner[detection] = thing
            taken[thing] = not objects.difficult[thing]
    counts = np.ones(len(found), bool)
    counts[owner >= 0] = ~objects.difficult[owner[owner >= 0]]
    return owner, counts, taken


def of_one_class(objects: Objects, found: Found, pairs: Pairs, threshold: float) -> Pairs:
    """The pairs of one class with at least this IoU."""
    a, b, ious = pairs
    fit = (ious >= min(threshold, 1 - 1e-10)) & (found.label[a] == objects.label[b])  # COCO's slack at 1
    return a[fit], b[fit], ious[fit]

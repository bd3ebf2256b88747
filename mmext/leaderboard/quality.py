"""How well one image was done, quickly: to choose which images to show, not to report.

Scores lie between 0 and 1. Boxes: the F-measure of the detections above the threshold, where a
detection is right if an object of its class overlaps it by half. Label maps: mean IoU of the classes
in the image. Classes: the score of the true class.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: Detections below this score are neither judged nor shown.
SCORE_THRESHOLD = 0.3
#: More detections than this, of the highest scores, hide the image.
MOST = 100


@dataclass
class Objects:
    """What is in an image: ``polygons`` (n, 4, 2) in pixels, ``labels`` (n, ), ``scores`` (n, ) or None."""

    polygons: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None


@dataclass
class Judged:
    """One image's truth and answer, as little of them as a picture needs.

    Attributes:
        path: Of the image.
        score: From 0 to 1; None without ground truth.
        truth, found: :class:`Objects`, an (h, w) label map, a label's index, or None.
        found_score: Of a classification.
    """

    path: str
    score: float | None
    truth: Any = None
    found: Any = None
    found_score: float | None = field(default=None)


def _array(value: Any) -> np.ndarray:
    value = getattr(value, 'tensor', value)  # a box type
    return value.detach().cpu().numpy() if hasattr(value, 'detach') else np.asarray(value)


def polygons(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) corners, (n, 5) rotated or (n, 8) corner boxes as (n, 4, 2) polygons."""
    if boxes.shape[-1] == 8:
        return boxes.reshape(-1, 4, 2)
    if boxes.shape[-1] == 4:
        x1, y1, x2, y2 = boxes.T
        return np.stack([x1, y1, x2, y1, x2, y2, x1, y2], 1).reshape(-1, 4, 2)
    centre, angle = boxes[:, None, :2], boxes[:, 4]
    along = np.stack([np.cos(angle), np.sin(angle)], 1)[:, None] * boxes[:, None, 2:3] / 2
    across = np.stack([-np.sin(angle), np.cos(angle)], 1)[:, None] * boxes[:, None, 3:4] / 2
    return np.concatenate([centre - along - across, centre + along - across, centre + along + across,
                           centre - along + across], 1)


def _objects(instances: Any) -> Objects:
    boxes = _array(instances.bboxes).astype(np.float32)
    labels = _array(instances.labels).astype(np.int64)
    scores = _array(instances.scores).astype(np.float32) if 'scores' in instances else None
    if scores is not None:
        keep = np.flatnonzero(scores >= SCORE_THRESHOLD)
        keep = keep[np.argsort(-scores[keep], kind='stable')[:MOST]]
        boxes, labels, scores = boxes[keep], labels[keep], scores[keep]
    return Objects(polygons(boxes.reshape(-1, boxes.shape[-1] if boxes.size else 4)), labels, scores)


def _overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """IoUs of all pairs of polygons' surrounding upright boxes."""
    low = np.maximum(one.min(1)[:, None], other.min(1)[None])
    high = np.minimum(one.max(1)[:, None], other.max(1)[None])
    common = np.clip(high - low, 0, None).prod(-1)
    areas = [np.ptp(two, axis=1).prod(-1) for two in (one, other)]
    return common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-9)


def f_measure(truth: Objects, found: Objects) -> float:
    """2 x right / (objects + detections), where a second detection of an object is wrong."""
    total = len(truth.labels) + len(found.labels)
    if not total:
        return 1.
    if not len(truth.labels) or not len(found.labels):
        return 0.
    hit = (_overlaps(found.polygons, truth.polygons) >= 0.5) & (found.labels[:, None] == truth.labels)
    return 2. * min(int(hit.any(0).sum()), int(hit.any(1).sum())) / total


def mean_iou(truth: np.ndarray, found: np.ndarray, classes: int) -> float:
    """Over the classes that either map has, where the truth has a class."""
    valid = (truth >= 0) & (truth < classes)
    truth, found = truth[valid].astype(np.int64), found[valid].astype(np.int64)
    if not truth.size:
        return 1.
    common = np.bincount(truth[truth == found], minlength=classes)[:classes]
    union = (np.bincount(truth, minlength=classes)[:classes] + np.bincount(found, minlength=classes)[:classes]
             - common)
    return float((common[union > 0] / union[union > 0]).mean())


def judge(sample: Any, classes: int) -> Judged | None:
    """Judge a host's data sample after a test step; None if it is of no known kind.

    Args:
        sample: With predictions and, if the test pipeline loads it, ground truth.
        classes: Number of classes.
    """
    path = str(sample.get('img_path', '') or '')
    if 'pred_instances' in sample and 'bboxes' in sample.pred_instances:
        found = _objects(sample.pred_instances)
        if 'gt_instances' not in sample or 'bboxes' not in sample.gt_instances:
            return Judged(path, None, None, found)
        truth = _objects(sample.gt_instances)
        return Judged(path, f_measure(truth, found), truth, found)
    if 'pred_sem_seg' in sample:
        labels = _map(sample.pred_sem_seg)
        if 'gt_sem_seg' not in sample:
            return Judged(path, None, None, labels)
        real = _map(sample.gt_sem_seg)
        same = real.shape == labels.shape
        return Judged(path, mean_iou(real, labels, classes) if same else None, real, labels)
    if 'pred_score' in sample:
        scores = _array(sample.pred_score).reshape(-1)
        best = int(scores.argmax())
        label = int(_array(sample.gt_label).reshape(-1)[0]) if 'gt_label' in sample else None
        score = None if label is None else float(scores[label])
        return Judged(path, score, label, best, float(scores[best]))
    return None


def _map(data: Any) -> np.ndarray:
    # mmseg keeps the map under ``data``, mmdet under ``sem_seg``
    return _array(data.data if 'data' in data else data.sem_seg).squeeze()

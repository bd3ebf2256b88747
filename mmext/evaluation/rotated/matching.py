"""True and false positives of oriented boxes at several thresholds from one table of overlaps.

The rule is that of PASCAL VOC and of the DOTA development kit: a detection belongs to the object
with which it overlaps most. If that is enough, the object is not difficult and no better detection
has taken it, it is a true positive; detections of difficult objects do not count; all others are
false positives.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .geometry import largest_possible_ious, meeting_pairs, pair_ious

TRUE, FALSE, IGNORED = 1, 0, -1


@dataclass(frozen=True)
class Objects:
    """The ground truth of a data set: N objects.

    Attributes:
        image: (N, ) int64, number of the image.
        label: (N, ) int64.
        boxes: (N, 5) or (N, 8) float32.
        difficult: (N, ) bool, neither to be found nor wrong to find.
    """

    image: np.ndarray
    label: np.ndarray
    boxes: np.ndarray
    difficult: np.ndarray


@dataclass(frozen=True)
class Found:
    """N detections, image by image.

    Attributes:
        image, label, boxes: As in :class:`Objects`.
        scores: (N, ) float32.
    """

    image: np.ndarray
    label: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class ClassResult:
    """One class.

    Attributes:
        objects, found: How many there are.
        order: (found, ) rows of the detections by falling score.
        recall, precision: (T, found), after each detection in that order.
        ap: (T, ) average precision.
    """

    objects: int
    found: int
    order: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    ap: np.ndarray


def best_overlaps(objects: Objects, found: Found, least: float, classes: int, exact: bool
                  ) -> tuple[np.ndarray, np.ndarray]:
    """For each detection the object of its image and class with the largest IoU.

    Args:
        least: IoUs below it need not be found.
        classes: Number of classes.
        exact: See :func:`.geometry.pair_ious`.

    Returns:
        (N, ) IoU, 0 if there is none from ``least`` up, and (N, ) the object's row.
    """
    a, b = meeting_pairs(found.boxes, objects.boxes, found.image * classes + found.label,
                         objects.image * classes + objects.label)
    possible = largest_possible_ious(found.boxes[a], objects.boxes[b]) > least - 1e-4
    a, b = a[possible], b[possible]
    ious = pair_ious(found.boxes[a], objects.boxes[b], exact)
    # of equal overlaps the first object, those that are not difficult before those that are
    order = np.lexsort((b, objects.difficult[b], -ious, a))
    rows, first = np.unique(a[order], return_index=True)
    best, owner = np.zeros(len(found), ious.dtype), np.zeros(len(found), np.int64)
    best[rows], owner[rows] = ious[order[first]], b[order[first]]
    return best, owner


def match(objects: Objects, found: Found, thresholds: Sequence[float], classes: int, exact: bool
          ) -> np.ndarray:
    """(T, N) int8: :data:`TRUE`, :data:`FALSE` or :data:`IGNORED`, by threshold and detection."""
    best, owner = best_overlaps(objects, found, min(thresholds), classes, exact)
    order = _by_score_within_groups(found, classes)
    verdict = np.zeros((len(thresholds), len(found)), np.int8)
    for row, threshold in zip(verdict, thresholds):
        candidates = order[best[order] >= float(threshold)]
        row[candidates[objects.difficult[owner[candidates]]]] = IGNORED
        candidates = candidates[~objects.difficult[owner[candidates]]]
        _, first = np.unique(owner[candidates], return_index=True)
        row[candidates[first]] = TRUE
    return verdict


def _by_score_within_groups(found: Found, classes: int) -> np.ndarray:
    """Rows sorted by image and class, within these by falling score.

    Equal scores come as numpy's default sort leaves them, as they do in mmrotate, which decides
    between them.
    """
    group = found.image * classes + found.label
    order = np.lexsort((-found.scores, group))
    tied = (np.diff(group[order]) == 0) & (np.diff(found.scores[order]) == 0)
    sorted_group = group[order]
    for one in np.unique(sorted_group[:-1][tied]):
        begin, end = np.searchsorted(sorted_group, [one, one + 1])
        rows = np.sort(order[begin:end])
        order[begin:end] = rows[np.argsort(-found.scores[rows])]
    return order


def evaluate(objects: Objects, found: Found, thresholds: Sequence[float], classes: int,
             eleven_points: bool, exact: bool) -> list[ClassResult]:
    """Average precision of each class at each threshold.

    Args:
        thresholds: T IoU thresholds over 0.
        classes: Number of classes.
        eleven_points: PASCAL VOC 2007's average, as the DOTA server takes it; else the area under
            the curve.
        exact: See :func:`.geometry.pair_ious`.
    """
    verdict = match(objects, found, thresholds, classes, exact)
    counts = np.bincount(objects.label[~objects.difficult], minlength=classes)
    results = []
    for label in range(classes):
        rows = np.flatnonzero(found.label == label)
        rows = rows[np.argsort(-found.scores[rows])]  # as mmrotate sorts
        # single precision where mmrotate has it, so that the figures are the same to the last digit
        right = np.cumsum(verdict[:, rows] == TRUE, axis=1, dtype=np.float32)
        wrong = np.cumsum(verdict[:, rows] == FALSE, axis=1, dtype=np.float32)
        tiny = np.finfo(np.float32).eps
        recall = right.astype(np.float64) / max(float(counts[label]), float(tiny))
        precision = right / np.maximum(right + wrong, tiny)
        average = _eleven_points if eleven_points else _area
        results.append(ClassResult(
            objects=int(counts[label]), found=len(rows), order=rows, recall=recall,
            precision=precision,
            ap=np.array([average(*one) for one in zip(recall, precision)], np.float32)))
    return results


def _eleven_points(recall: np.ndarray, precision: np.ndarray) -> np.float32:
    """Mean of the best precision at recall 0, 0.1 .. 1 or more."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    total = np.float32(0)
    for place in np.searchsorted(recall, np.arange(0, 1 + 1e-3, 0.1)):
        if place < len(envelope):
            total += envelope[place]
    return total / np.float32(11)


def _area(recall: np.ndarray, precision: np.ndarray) -> np.float32:
    """Area under the precision that is reached at each recall or a higher one."""
    recall = np.concatenate([[0.0], recall, [1.0]])
    precision = np.concatenate([[0.0], precision, [0.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.flatnonzero(recall[1:] != recall[:-1])
    return np.float32(np.sum((recall[steps + 1] - recall[steps]) * envelope[steps + 1]))

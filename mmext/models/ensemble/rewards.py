"""What a detection of the labelled split is worth: section 1 of the definition in the plug-in's page."""
from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...evaluation.rotated.matching import Objects
from ...ops.pnms.geometry import overlapping_between
from .columns import Detections, group_of

_BOXES_AT_ONCE = 100_000  # bounds the memory of the pairs


def rewards(found: Detections, objects: Objects, thresholds: Sequence[float], assign: str, classes: int,
            detectors: int, progress: Callable[[int, int], None] | None = None
            ) -> tuple[np.ndarray, np.ndarray]:
    """The reward of each detection and whether it counts.

    Args:
        found: The detections.
        objects: The ground truth, with boxes of the same kind. Difficult ones (crowds) are to be
            ignored: a detection that fits one of them best does not count.
        thresholds: IoU thresholds over 0; the reward is the mean over them.
        assign: 'independent': a detection is right if any object of its image and class overlaps
            enough; 'greedy': each object makes one detection of a detector right, the best-scored.
        classes, detectors: Their numbers.
        progress: Is told how many detections are done, and of how many.

    Returns:
        (N, ) float64 rewards from 0 to 1, and (N, ) bool.
    """
    value, counts = np.zeros(len(found)), np.ones(len(found), bool)
    limits = np.asarray(thresholds, np.float64)
    by_image = np.argsort(found.image, kind='stable')
    images = found.image[by_image]
    object_order = np.argsort(objects.image, kind='stable')
    object_images = objects.image[object_order]
    start = 0
    while start < len(found):
        # whole images, at least one
        stop = int(np.searchsorted(images, images[min(start + _BOXES_AT_ONCE, len(found)) - 1], 'right'))
        rows = by_image[start:stop]
        rows = rows[np.argsort(rows)]  # the given order decides between equal scores
        low, high = np.searchsorted(object_images, [images[start], images[stop - 1] + 1])
        near = object_order[low:high]
        value[rows], counts[rows] = _of_some_images(
            found[rows], Objects(objects.image[near], objects.label[near], objects.boxes[near],
                                 objects.difficult[near]), limits, assign, classes, detectors)
        start = stop
        if progress is not None:
            progress(start, len(found))
    return value, counts


def _of_some_images(found: Detections, objects: Objects, limits: np.ndarray, assign: str, classes: int,
                    detectors: int) -> tuple[np.ndarray, np.ndarray]:
    rows, owners, ious = overlapping_between(
        found.boxes, objects.boxes.astype(np.float64), group_of(found.image, found.label, classes),
        group_of(objects.image, objects.label, classes))
    best, best_ignored = np.zeros(len(found)), np.zeros(len(found))
    ignored = objects.difficult[owners]
    np.maximum.at(best, rows[~ignored], ious[~ignored])
    np.maximum.at(best_ignored, rows[ignored], ious[ignored])
    counts = ~((best_ignored > best) & (best_ignored >= limits.min()))
    if assign == 'independent':
        return (best[:, None] >= limits).mean(axis=1), counts
    usable = ~ignored & counts[rows] & (ious >= limits.min())
    group = group_of(found.image, found.label, classes) * detectors + found.detector
    order = np.lexsort((-found.scores, group))
    rank = np.empty(len(found), np.int64)
    sorted_group = group[order]
    rank[order] = np.arange(len(found)) - np.searchsorted(sorted_group, sorted_group, 'left')
    right = _one_to_one(rows[usable], owners[usable], ious[usable], rank, found.detector,
                        len(objects.image), limits)
    return right.mean(axis=0), counts


def _one_to_one(rows: np.ndarray, owners: np.ndarray, ious: np.ndarray, rank: np.ndarray,
                detector: np.ndarray, objects: int, limits: np.ndarray) -> np.ndarray:
    """(T, N): the detections that take an object, down the scores of each image, class and detector.

    The k-th detections of all images, classes and detectors choose at once: they do not compete.
    """
    order = np.lexsort((owners, -ious, rows, rank[rows]))
    rows, owners, ious = rows[order], owners[order], ious[order]
    turns = rank[rows]
    edges = np.concatenate([[0], np.flatnonzero(np.diff(turns)) + 1, [len(rows)]])
    right = np.zeros((len(limits), len(rank)))
    taken = np.zeros((len(limits), detector.max(initial=0) + 1, objects), bool)
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist()):
        row, owner, iou = rows[begin:end], owners[begin:end], ious[begin:end]
        for turn, limit in enumerate(limits.tolist()):
            free = ~taken[turn, detector[row], owner] & (iou >= limit)
            chooser, first = np.unique(row[free], return_index=True)
            right[turn, chooser] = 1
            taken[turn, detector[chooser], owner[free][first]] = True
    return right

"""Greedy suppression of ranked boxes: a plain loop, and rounds over the pairs that overlap."""
from __future__ import annotations

import numpy as np

from .geometry import overlapping_within, overlaps


def suppress_reference(boxes: np.ndarray, group: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Straightforward formulation of :func:`suppress`."""
    owner = np.full(len(boxes), -1, np.int64)
    kept: list[int] = []
    for row in range(len(boxes)):
        for better in kept:
            if group[better] == group[row] and overlaps(boxes[better:better + 1],
                                                        boxes[row:row + 1])[0] > iou_threshold:
                owner[row] = better
                break
        else:
            owner[row] = row
            kept.append(row)
    return owner


def suppress(boxes: np.ndarray, group: np.ndarray, iou_threshold: float, closest: bool = False
             ) -> np.ndarray:
    """Which box stands for which, going down the ranking.

    A box stays unless its IoU with a better box of its group that stays is over the threshold. All
    groups are worked through at once: in each round the boxes stay that no undecided better box
    overlaps, and what they suppress goes. A chain of overlaps is a few boxes long, so a few rounds
    suffice, however many images there are.

    Args:
        boxes: (N, 4, 5 or 8), the best first.
        group: (N, ) integers from 0: boxes of different images or classes do not suppress each other.
        iou_threshold: 0 to 1.
        closest: Of several boxes that stay and suppress one, name the closest; else the best.

    Returns:
        (N, ) int64, row of the box that stays and suppresses this one; its own row if it stays.
    """
    better, worse, ious = overlapping_within(boxes, group, iou_threshold)
    owner = np.arange(len(boxes))
    if not len(better):
        return owner
    undecided = np.ones(len(boxes), bool)
    stays = np.ones(len(boxes), bool)
    a, b = better, worse
    while len(a):
        waits = np.zeros(len(boxes), bool)
        waits[b] = True
        gone = b[~waits[a]]
        undecided &= waits
        undecided[gone] = False
        stays[gone] = False
        left = undecided[a] & undecided[b]
        a, b = a[left], b[left]
    hit = stays[better] & ~stays[worse]
    better, worse, ious = better[hit], worse[hit], ious[hit]
    # the last of what is assigned stays, so the first choice goes last
    order = np.lexsort((-better, ious, worse) if closest else (-better, worse))
    owner[worse[order]] = better[order]
    return owner

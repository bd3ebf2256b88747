"""Non-maximum suppression of oriented boxes that looks only at pairs that can overlap."""
from __future__ import annotations

import numpy as np

from .geometry import largest_possible_ious, meeting_pairs_within, pair_ious


def rotated_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """The boxes that ``mmcv.ops.nms_rotated`` keeps, in a fraction of its time.

    mmcv compares every box with every other one. Here only pairs are compared whose horizontal hulls
    meet and whose areas allow an IoU of ``threshold``; the others cannot suppress each other. IoUs are
    those of :func:`.polygons.polygon_ious`, which also tells copies apart from neighbours where mmcv's
    kernels do not.

    Args:
        boxes: (N, 5) centre x, centre y, width, height, angle, or (N, 8) corners.
        scores: (N, ); of equal scores the first comes first.
        threshold: A box goes if its IoU with a better one that stays is this or more. Over 0.

    Returns:
        Row numbers of the boxes that stay, the best first.
    """
    order = np.argsort(-scores, kind='stable')
    ranked = boxes[order].astype(np.float64)
    better, worse = meeting_pairs_within(ranked)
    possible = largest_possible_ious(ranked[better], ranked[worse]) > threshold - 1e-6
    better, worse = better[possible], worse[possible]
    by_better = np.argsort(better, kind='stable')
    better, worse = better[by_better], worse[by_better]

    alive = np.ones(len(boxes), bool)
    start, size = 0, 256
    # Block by block down the ranking: what the best boxes suppress is never compared with others.
    while start < len(boxes):
        stop = min(start + size, len(boxes))
        rows = slice(*np.searchsorted(better, [start, stop]))
        one, other = better[rows], worse[rows]
        both = alive[one] & alive[other]
        one, other = one[both], other[both]
        hit = pair_ious(ranked[one], ranked[other], exact=True) >= threshold
        one, other = one[hit], other[hit]
        ends = np.searchsorted(one, np.arange(start, stop + 1))
        for i in np.unique(one).tolist():
            if alive[i]:
                alive[other[ends[i - start]:ends[i - start + 1]]] = False
        start, size = stop, min(2 * size, 4096)
    return order[alive]

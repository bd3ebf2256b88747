"""Recall of proposals as mmdet's 'proposal_fast' defines it, which numpy 2 makes fail in mmdet."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def proposal_recall(truths: Sequence[np.ndarray], proposals: Sequence[np.ndarray], limits: Sequence[int],
                    thresholds: np.ndarray) -> np.ndarray:
    """Average recall of the first ``limit`` proposals of each image.

    In each image the pair of object and proposal with the largest IoU is matched first, whatever the
    proposals' scores and the objects' classes are.

    Args:
        truths: Per image (n, 4) float32, x1, y1, x2, y2.
        proposals: Per image (m, 4) float32, the best first.
        limits: Numbers of proposals.
        thresholds: (T, ) IoU thresholds, over which recall is averaged.

    Returns:
        (len(limits), ) float64; NaN without objects.
    """
    from mmdet.evaluation.functional import bbox_overlaps

    recalls = np.full(len(limits), np.nan)
    overlaps = [bbox_overlaps(objects, boxes[:max(limits)].astype(np.float32)) if len(boxes)
                else np.zeros((len(objects), 0), np.float32)
                for objects, boxes in zip(truths, proposals) if len(objects)]
    for i, limit in enumerate(limits):
        if overlaps:
            best = np.concatenate([_greedy(ious[:, :limit]) for ious in overlaps])
            recalls[i] = (best[:, None] >= thresholds).mean(axis=0).mean()
    return recalls


def _greedy(ious: np.ndarray) -> np.ndarray:
    """(n, m) IoUs -> (n, ) float32, the IoU of each row's partner; -1 for a row without."""
    best = np.full(len(ious), -1, np.float32)
    taken = np.zeros(ious.shape[1], bool)
    for flat in np.argsort(-ious, axis=None, kind='stable'):
        row, column = divmod(int(flat), ious.shape[1])
        if best[row] < 0 and not taken[column]:
            best[row], taken[column] = ious[row, column], True
            if taken.all() or (best >= 0).all():
                break
    return best

"""Weighted means of boxes, which for oriented ones need a common way of writing them."""
from __future__ import annotations

import numpy as np


def aligned(boxes: np.ndarray, like: np.ndarray) -> np.ndarray:
    """The same boxes, written so that their numbers can be averaged with those of ``like``.

    An oriented box can be written with its sides exchanged and turned by a quarter, corners can begin
    anywhere: of all ways the one nearest to ``like`` is taken.

    Args:
        boxes, like: (N, 4, 5 or 8), row by row.
    """
    if boxes.shape[1] == 4:
        return boxes
    if boxes.shape[1] == 5:
        turns = np.round((boxes[:, 4] - like[:, 4]) / (np.pi / 2))
        swapped = np.where((turns % 2 == 1)[:, None], boxes[:, [0, 1, 3, 2, 4]], boxes)
        return np.concatenate([swapped[:, :4], (boxes[:, 4] - turns * np.pi / 2)[:, None]], axis=1)
    corners, wanted = boxes.reshape(-1, 4, 2), like.reshape(-1, 4, 2)
    ways = np.stack([np.roll(one, shift, axis=1) for one in (corners, corners[:, ::-1])
                     for shift in range(4)])
    nearest = np.square(ways - wanted).sum(axis=(2, 3)).argmin(axis=0)
    return ways[nearest, np.arange(len(boxes))].reshape(-1, 8)


def cluster_means(boxes: np.ndarray, weights: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """The weighted mean of the boxes that share an owner, for each owner.

    Args:
        boxes: (N, 4, 5 or 8).
        weights: (N, ), 0 or more; a cluster without any weight keeps its owner's box.
        owner: (N, ) row of the box that stands for each; an owner owns itself.

    Returns:
        (N, 4, 5 or 8); rows that are nobody's owner are meaningless.
    """
    total = np.bincount(owner, weights=weights, minlength=len(boxes))
    sums = np.zeros_like(boxes)
    np.add.at(sums, owner, aligned(boxes, boxes[owner]) * weights[:, None])
    return np.where(total[:, None] > 0, sums / np.where(total > 0, total, 1)[:, None], boxes)

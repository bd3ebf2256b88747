"""Areas and IoUs of boxes of any kind, in double precision, without the +1 of pixels.

Boxes are (N, 4) x1, y1, x2, y2, (N, 5) centre x, centre y, width, height, angle, or (N, 8) corners.
"""
from __future__ import annotations

import numpy as np

from ...evaluation.rotated.geometry import (
    horizontal_hulls,
    largest_possible_ious,
    meeting_pairs,
    meeting_pairs_within,
)
from ...evaluation.rotated.polygons import corners_of, polygon_ious


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """(N, 4, 5 or 8) -> (N, ) float64 areas, in square pixels."""
    boxes = np.asarray(boxes, np.float64)
    if boxes.shape[1] == 4:
        return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    if boxes.shape[1] == 5:
        return boxes[:, 2] * boxes[:, 3]
    x, y = boxes[:, 0::2], boxes[:, 1::2]
    return np.abs((x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y).sum(axis=1)) / 2


def overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """IoU of each row of ``one`` with the same row of ``other``, or with its only row.

    Args:
        one, other: (N, 4, 5 or 8), both of one kind; either may have a single row.

    Returns:
        (N, ) float64; 0 where the union is empty.
    """
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if one.shape[1] != 4:
        one, other = np.broadcast_arrays(one, other)
        return polygon_ious(corners_of(one), corners_of(other)) if len(one) else np.zeros(0)
    x1, y1, x2, y2 = one.T
    other_x1, other_y1, other_x2, other_y2 = other.T
    width = np.minimum(x2, other_x2) - np.maximum(x1, other_x1)
    height = np.minimum(y2, other_y2) - np.maximum(y1, other_y1)
    common = np.maximum(width, 0) * np.maximum(height, 0)
    union = (x2 - x1) * (y2 - y1) + (other_x2 - other_x1) * (other_y2 - other_y1) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def overlapping_within(boxes: np.ndarray, group: np.ndarray, above: float
                       ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs i < j of one group with an IoU over ``above``.

    Args:
        boxes: (N, 4, 5 or 8).
        group: (N, ) integers from 0.
        above: 0 or more.

    Returns:
        Row numbers i, row numbers j, and their IoUs.
    """
    hulls = horizontal_hulls(boxes)
    if len(boxes) and group.max() > 0:
        # Each group gets a stretch of the x axis of its own.
        hulls[:, [0, 2]] += (group * (np.ptp(hulls[:, [0, 2]]) + 1.0))[:, None]
    first, second = meeting_pairs_within(hulls)
    if boxes.shape[1] != 4:  # polygons are dear
        possible = largest_possible_ious(boxes[first], boxes[second]) > above - 1e-6
        first, second = first[possible], second[possible]
    ious = overlaps(boxes[first], boxes[second])
    hit = ious > above
    return first[hit], second[hit], ious[hit]


def overlapping_between(one: np.ndarray, other: np.ndarray, one_group: np.ndarray,
                        other_group: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of one group with an IoU over 0: rows of ``one``, rows of ``other``, IoUs."""
    first, second = meeting_pairs(one, other, one_group, other_group)
    ious = overlaps(one[first], other[second])
    hit = ious > 0
    return first[hit], second[hit], ious[hit]

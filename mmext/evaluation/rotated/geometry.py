"""Which oriented boxes can overlap at all, and by how much they do.

Boxes are (N, 5) centre x, centre y, width, height, angle (clockwise, radians), (N, 8) four corners,
or (N, 4) upright ones, x1, y1, x2, y2. Only boxes whose horizontal hulls meet can overlap; they are
found by sorting, and the IoU is computed for those pairs alone.
"""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from .polygons import corners_of, polygon_ious

# Rows of pairs looked at in one go; bounds the memory where everything overlaps everything.
_CHUNK = 2_000_000


def horizontal_hulls(boxes: np.ndarray) -> np.ndarray:
    """(N, 4, 5 or 8) -> (N, 4) float64: x1, y1, x2, y2 of the smallest upright box around each."""
    boxes = boxes.astype(np.float64)
    if boxes.shape[1] == 4:
        return boxes
    if boxes.shape[1] == 8:
        xs, ys = boxes[:, 0::2], boxes[:, 1::2]
        return np.stack([xs.min(1), ys.min(1), xs.max(1), ys.max(1)], axis=1)
    x, y, width, height, angle = boxes.T
    cos, sin = np.abs(np.cos(angle)), np.abs(np.sin(angle))
    half_x, half_y = (width * cos + height * sin) / 2, (width * sin + height * cos) / 2
    return np.stack([x - half_x, y - half_y, x + half_x, y + half_y], axis=1)


def meeting_pairs(one: np.ndarray, other: np.ndarray, one_group: np.ndarray, other_group: np.ndarray
                  ) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of one group whose hulls meet.

    Args:
        one, other: (N, 4, 5 or 8) and (M, 4, 5 or 8) boxes.
        one_group, other_group: (N, ) and (M, ) integers from 0; boxes of different groups never meet.

    Returns:
        Two arrays of row numbers, into ``one`` and ``other``, in no particular order.
    """
    first, second = horizontal_hulls(one), horizontal_hulls(other)
    first_low, first_high, second_low, second_high = _on_one_line(first, second, one_group, other_group)
    # Intervals meet if one starts within the other; equal starts are found from the first side only.
    pairs = [*_starting_within(first_low, first_high, second_low, first, second, 'left')]
    pairs += [(b, a) for a, b in
              _starting_within(second_low, second_high, first_low, second, first, 'right')]
    return _joined(pairs)


def meeting_pairs_within(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs i < j of (N, 5 or 8) ``boxes`` whose hulls meet."""
    hulls = horizontal_hulls(boxes)
    none = np.zeros(len(boxes), np.int64)
    if len(boxes) and np.ptp(hulls[:, 1]) > np.ptp(hulls[:, 0]):
        hulls = hulls[:, [1, 0, 3, 2]]  # along the longer side fewer intervals meet
    low, high, _, _ = _on_one_line(hulls, hulls, none, none)
    order = np.argsort(low, kind='stable')
    pairs = []
    begin = np.arange(1, len(boxes) + 1)
    end = np.searchsorted(low[order], high[order], 'right')
    for rows, places in _expanded(begin, end):
        a, b = order[rows], order[places]
        meet = (hulls[a, 1] <= hulls[b, 3]) & (hulls[b, 1] <= hulls[a, 3])
        a, b = a[meet], b[meet]
        pairs.append((np.minimum(a, b), np.maximum(a, b)))
    return _joined(pairs)


def _on_one_line(first: np.ndarray, second: np.ndarray, first_group: np.ndarray,
                 second_group: np.ndarray) -> tuple[np.ndarray, ...]:
    """x1 and x2 of both, each group moved to a stretch of the line of its own."""
    values = np.concatenate([first[:, [0, 2]].ravel(), second[:, [0, 2]].ravel(), np.zeros(1)])
    step = np.ptp(values) + 1
    return (first[:, 0] + first_group * step, first[:, 2] + first_group * step,
            second[:, 0] + second_group * step, second[:, 2] + second_group * step)


def _starting_within(low: np.ndarray, high: np.ndarray, starts: np.ndarray, hulls: np.ndarray,
                     others: np.ndarray, side: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    order = np.argsort(starts, kind='stable')
    placed = starts[order]
    begin = np.searchsorted(placed, low, side)  # type: ignore[call-overload]
    end = np.searchsorted(placed, high, 'right')
    for rows, places in _expanded(begin, end):
        found = order[places]
        meet = (hulls[rows, 1] <= others[found, 3]) & (others[found, 1] <= hulls[rows, 3])
        yield rows[meet], found[meet]


def _expanded(begin: np.ndarray, end: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Row i with every place of ``begin[i]`` .. ``end[i] - 1``, in chunks."""
    counts = np.maximum(end - begin, 0)
    total = np.cumsum(counts)
    first = 0
    while first < len(counts):
        last = max(int(np.searchsorted(total, (total[first - 1] if first else 0) + _CHUNK, 'right')),
                   first + 1)
        part = counts[first:last]
        rows = np.repeat(np.arange(first, last), part)
        offset = np.repeat(np.cumsum(part) - part, part)
        yield rows, np.arange(len(rows)) - offset + begin[rows]
        first = last


def _joined(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    none = np.zeros(0, np.int64)
    return (np.concatenate([none, *(one for one, _ in pairs)]),
            np.concatenate([none, *(other for _, other in pairs)]))


def pair_ious(one: np.ndarray, other: np.ndarray, exact: bool) -> np.ndarray:
    """IoU of each row of ``one`` with the same row of ``other``.

    Args:
        one, other: (P, 5) or (P, 8), both of one kind.
        exact: By :func:`polygon_ious`; else by mmcv's kernels in single precision.

    Returns:
        (P, ) float64 if ``exact``, else float32.
    """
    if exact:
        return polygon_ious(corners_of(one), corners_of(other))
    from mmcv.ops import box_iou_quadri, box_iou_rotated

    if not len(one):
        return np.zeros(0, np.float32)
    kernel = box_iou_rotated if one.shape[1] == 5 else box_iou_quadri
    return kernel(torch.from_numpy(np.ascontiguousarray(one, np.float32)),
                  torch.from_numpy(np.ascontiguousarray(other, np.float32)), aligned=True).numpy()


def largest_possible_ious(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """An upper bound of the IoU of each row that takes no polygon; 1 for quadrilaterals."""
    if one.shape[1] != 5:
        return np.ones(len(one))
    first, second = horizontal_hulls(one), horizontal_hulls(other)
    sides = (np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])).clip(0)
    area, other_area = (np.abs(boxes[:, 2].astype(np.float64) * boxes[:, 3]) for boxes in (one, other))
    common = np.minimum(sides.prod(axis=1), np.minimum(area, other_area))
    return common / np.maximum(area + other_area - common, 1e-12)

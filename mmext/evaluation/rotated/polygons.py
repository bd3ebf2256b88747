"""IoU of quadrilaterals in double precision, by clipping one at the sides of the other.

mmcv's kernels lose a part of the intersection where sides are almost parallel: ``box_iou_quadri`` is
wrong for every third pair of a quadrilateral and one that differs from it by 1e-5 to 1 pixel, down to 0.09
where it should be 1; ``box_iou_rotated`` only for boxes that are the same to 1e-4 pixels, as copies of one
object in two tiles can be. See docs/benchmarks/metrics.md.
"""
from __future__ import annotations

import numpy as np

_CHUNK = 100_000


def corners_of(boxes: np.ndarray) -> np.ndarray:
    """(N, 5) centre, width, height, angle, or (N, 8) -> (N, 4, 2) float64 corners."""
    boxes = boxes.astype(np.float64)
    if boxes.shape[1] == 8:
        return boxes.reshape(-1, 4, 2)
    cos, sin = np.cos(boxes[:, 4:]), np.sin(boxes[:, 4:])
    along = np.concatenate([cos, sin], axis=1) * boxes[:, 2:3] / 2
    across = np.concatenate([-sin, cos], axis=1) * boxes[:, 3:4] / 2
    centre = boxes[:, :2]
    return np.stack([centre + along + across, centre + along - across, centre - along - across,
                     centre - along + across], axis=1)  # mmrotate's order


def polygon_ious(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """IoU of each quadrilateral with the one in the same row.

    Args:
        one, other: (P, 4, 2) corners in order, either way round; need not be convex.

    Returns:
        (P, ) float64; 0 for quadrilaterals without area.
    """
    ious = np.zeros(len(one))
    for start in range(0, len(one), _CHUNK):
        rows = slice(start, start + _CHUNK)
        ious[rows] = _ious(one[rows], other[rows])
    return ious


def _ious(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    shift = other.mean(axis=1, keepdims=True)
    one, other = _turned_left(one - shift), _turned_left(other - shift)
    area, other_area = _areas(one), _areas(other)
    common = _clipped_areas(one, other)
    bent = ~(_convex(one) & _convex(other))
    if bent.any():
        # Clipping needs convex shapes. With signs, the two triangles at a corner make up any shape.
        common[bent] = sum(
            sign * other_sign * _clipped_areas(part, other_part)
            for part, sign in _triangles(one[bent]) for other_part, other_sign in _triangles(other[bent]))
    solid = np.minimum(area, other_area) > 1e-12
    return np.where(solid, common.clip(0) / np.where(solid, area + other_area - common, 1), 0)


def _next(values: np.ndarray) -> np.ndarray:
    """(P, V, ...) -> the same with every corner's successor in its place."""
    return np.concatenate([values[:, 1:], values[:, :1]], axis=1)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _areas(polygons: np.ndarray) -> np.ndarray:
    """(P, V, 2) -> (P, ) signed areas."""
    return _cross(polygons, _next(polygons)).sum(axis=1) / 2


def _turned_left(polygons: np.ndarray) -> np.ndarray:
    """The same with positive areas."""
    return np.where(_areas(polygons)[:, None, None] < 0, polygons[:, ::-1], polygons)


def _triangles(quadrilaterals: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    triangles = [quadrilaterals[:, [0, i, i + 1]] for i in (1, 2)]
    return [(_turned_left(one), np.sign(_areas(one))) for one in triangles]


def _convex(polygons: np.ndarray) -> np.ndarray:
    sides = _next(polygons) - polygons
    return np.all(_cross(sides, _next(sides)) >= -1e-9, axis=1)


def _clipped_areas(subject: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Areas of what is left of ``subject`` inside the convex ``window`` (Sutherland and Hodgman)."""
    for i in range(window.shape[1]):
        start, end = window[:, i], window[:, (i + 1) % window.shape[1]]
        subject = _left_part(subject, start[:, None], (end - start)[:, None])
    return _areas(subject)


def _left_part(polygons: np.ndarray, point: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Convex (P, V, 2) -> (P, V + 1, 2), what is left of a line; spare places repeat the last corner."""
    count, corners = polygons.shape[:2]
    side = _cross(direction, polygons - point)
    after, side_after = _next(polygons), _next(side)
    inside = np.asarray(side >= 0)
    crosses = inside != (side_after >= 0)
    share = side / np.where(crosses, side - side_after, 1)
    candidates = np.stack([polygons, polygons + share[..., None] * (after - polygons)], axis=2)
    emitted: np.ndarray = np.stack([inside, crosses], axis=2).reshape(count, 2 * corners)
    candidates = candidates.reshape(count, 2 * corners, 2)
    last = 2 * corners - 1 - emitted[:, ::-1].argmax(axis=1)
    out = np.repeat(candidates[np.arange(count), last][:, None], corners + 1, axis=1)
    rows, columns = np.nonzero(emitted)
    out[rows, np.minimum(emitted.cumsum(axis=1)[rows, columns] - 1, corners)] = candidates[rows, columns]
    return np.where(np.any(emitted, axis=1, keepdims=True)[:, :, None], out, 0)

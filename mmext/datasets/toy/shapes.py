"""Rotated shapes on a pixel grid, in fixed-point coordinates of 1/64 pixel."""
from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from .integers import Ints, Rng, cosine, sine

UNIT = 64
_SUB = 4  # samples a pixel and axis
FULL = _SUB * _SUB  # the coverage of a pixel that lies inside

#: Outlines as (u, v) that fill the square [-4096, 4096]**2 exactly; v >= 0, the rest mirrors it.
_OUTLINES = {
    'triangle': ((4096, 0), (-4096, 4096), (-4096, 0)),
    'star': ((4096, 0), (1216, 1139), (967, 4096), (-1062, 1843), (-4096, 2531), (-2470, 0)),
}

#: Width of the oriented box in percent of its length: (least, most).
_ASPECT = {
    'bar': (36, 54),
    'disc': (72, 100),
    'ring': (76, 100),
    'star': (90, 105),
    'triangle': (78, 116),
}
_HOLE = 27  # of a ring, percent of the disc's area


@dataclass(frozen=True)
class Pose:
    """Where a shape lies: its class, and its tight oriented box.

    Attributes:
        kind: Class name.
        x, y: Centre, 1/64 pixel.
        a, b: Half extents along and across the shape's own axis, 1/64 pixel.
        angle: Clockwise on the picture, degrees.
    """

    kind: str
    x: int
    y: int
    a: int
    b: int
    angle: int

    @property
    def corners(self) -> list[tuple[int, int]]:
        """The four corners of the oriented box as (x, y), clockwise, 1/64 pixel."""
        c, s = cosine(self.angle), sine(self.angle)
        return [(self.x + (u * c - v * s >> 14), self.y + (u * s + v * c >> 14))
                for u, v in ((-self.a, -self.b), (self.a, -self.b), (self.a, self.b),
                             (-self.a, self.b))]

    def fits(self, size: int) -> bool:
        """Whether the oriented box keeps a pixel's distance from the border of the picture."""
        return all(UNIT <= value <= (size - 1) * UNIT for xy in self.corners for value in xy)


@dataclass(frozen=True)
class Patch:
    """A shape rendered on the window of the picture that it touches.

    Attributes:
        rows, columns: The window.
        coverage: ``(h, w)``, 0 outside to ``FULL`` inside; zero along the window's border.
        u, v: ``(h, w)`` coordinates of the pixel centres along and across the shape, 1/64 pixel.
    """

    rows: slice
    columns: slice
    coverage: Ints
    u: Ints
    v: Ints

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """``(h, w)``: the pixels that belong to the shape."""
        return self.coverage >= FULL // 2


def random_pose(rng: Rng, kind: str, length: int, x: int, y: int) -> Pose:
    """A pose of ``kind`` around ``(x, y)``: free angle, free aspect ratio.

    Args:
        rng: Source of the angle and the aspect ratio.
        kind: Class name.
        length: Of the oriented box along the shape's axis, pixels.
        x, y: Centre, 1/64 pixel.
    """
    a = length * UNIT // 2
    return Pose(kind, x, y, a, a * rng.between(*_ASPECT[kind]) // 100, rng.below(360))


def inside(pose: Pose, u: Ints, v: Ints) -> npt.NDArray[np.bool_]:
    """Which of the points, given in the shape's frame, lie in it."""
    if pose.kind == 'bar':
        return (abs(u) <= pose.a) & (abs(v) <= pose.b)
    if pose.kind in _OUTLINES:
        return _in_outline(pose, u, abs(v))
    bu, av = u * np.int64(pose.b), v * np.int64(pose.a)
    distance, rim = bu * bu + av * av, pose.a**2 * pose.b**2
    found = distance <= rim
    if pose.kind == 'ring':
        found &= distance > rim // 100 * _HOLE
    return found


def render(pose: Pose, size: int) -> Patch:
    """The shape on a picture of ``size`` x ``size`` pixels; the pose must fit."""
    corners = pose.corners
    (x0, x1), (y0, y1) = ((min(values) // UNIT - 1, max(values) // UNIT + 2)
                          for values in zip(*corners))
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, size), min(y1, size)
    fine = inside(pose, *_local(pose, x0, y0, x1, y1, _SUB))
    in_rows = fine.reshape(y1 - y0, _SUB, -1).sum(1, dtype=np.uint8)
    coverage = in_rows.reshape(y1 - y0, x1 - x0, _SUB).sum(2, dtype=np.int32)
    u, v = _local(pose, x0, y0, x1, y1, 1)
    return Patch(slice(y0, y1), slice(x0, x1), coverage, u, v)


def _local(pose: Pose, x0: int, y0: int, x1: int, y1: int, samples: int) -> tuple[Ints, Ints]:
    """Coordinates in the shape's frame of ``samples`` a pixel and axis, 1/64 pixel."""
    step = UNIT // samples
    x = np.arange(x0 * samples, x1 * samples, dtype=np.int32) * step + step // 2 - pose.x
    y = (np.arange(y0 * samples, y1 * samples, dtype=np.int32) * step + step // 2 - pose.y)[:, None]
    c, s = cosine(pose.angle), sine(pose.angle)
    return (x * c + y * s) >> 14, (y * c - x * s) >> 14


def _in_outline(pose: Pose, u: npt.NDArray[Any], v: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Even-odd rule over the edges of the outline, ``v >= 0``."""
    corners = [(cu * pose.a >> 12, cv * pose.b >> 12) for cu, cv in _OUTLINES[pose.kind]]
    found = np.zeros(u.shape, bool)
    if max(pose.a, pose.b) >= 1 << 14:  # the products below would not fit
        u, v = u.astype(np.int64), v.astype(np.int64)
    for (u0, v0), (u1, v1) in pairwise(corners):
        before = (u - u0) * (v1 - v0) < (v - v0) * (u1 - u0)
        found ^= ((v0 > v) != (v1 > v)) & (before == (v1 > v0))
    return found

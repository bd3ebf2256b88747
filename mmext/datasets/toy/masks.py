"""Binary masks in COCO's notations, exact to the pixel."""
from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def bounding_box(mask: Mask) -> list[int]:
    """``[x, y, width, height]`` of the pixels set; the mask must not be empty."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y]


def run_lengths(mask: Mask) -> dict[str, Any]:
    """COCO's uncompressed run-length encoding: columns first, starting with the zeros."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = [0] * bool(flat[0]) + [0, *edges.tolist(), flat.size]
    counts = [after - before for before, after in pairwise(bounds)]
    return {'counts': counts, 'size': list(mask.shape)}


def polygon(mask: Mask) -> list[int] | None:
    """The outline ``[x0, y0, x1, y1, ...]`` along pixel edges, clockwise.

    pycocotools fills it to exactly the pixels of the mask.

    Returns:
        None where one polygon cannot say it: several parts, a hole, parts that touch at a corner.
    """
    left, top, width, height = bounding_box(mask)
    inner = mask[top:top + height, left:left + width]
    padded = np.zeros((height + 2, width + 2), bool)
    padded[1:-1, 1:-1] = inner
    following: dict[tuple[int, int], tuple[int, int]] = {}
    # (row, column) of the neighbour; start and end (x, y) of the pixel's edge towards it
    for (down, right), start, end in (((-1, 0), (0, 0), (1, 0)), ((0, 1), (1, 0), (1, 1)),
                                      ((1, 0), (1, 1), (0, 1)), ((0, -1), (0, 1), (0, 0))):
        neighbour = padded[1 + down:, 1 + right:][:height, :width]
        rows, columns = np.nonzero(inner & ~neighbour)
        for y, x in zip(rows.tolist(), columns.tolist()):
            corner = (left + x + start[0], top + y + start[1])
            if corner in following:
                return None
            following[corner] = (left + x + end[0], top + y + end[1])
    first = next(iter(following))
    outline, here = [first], following.pop(first)
    while here != first:
        outline.append(here)
        here = following.pop(here)
    if following:
        return None
    corners = [
        here for before, here, after in zip(outline[-1:] + outline, outline, outline[1:] +
                                            outline[:1])
        if (before[0] == here[0]) != (here[0] == after[0])
    ]
    return [value for corner in corners for value in corner]


def segmentation(mask: Mask, whole: bool) -> list[list[int]] | dict[str, Any]:
    """As in COCO: a polygon where the object is ``whole`` and one can say it, else run lengths."""
    outline = polygon(mask) if whole else None
    return [outline] if outline else run_lengths(mask)

"""Which part of a picture a classifier sees, after its resizing and its central crop."""
from __future__ import annotations

from typing import Any

import numpy as np


def seen_region(sample: Any, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 in the picture of what the network sees.

    Args:
        sample: A data sample with ``img_shape``; ``ori_shape`` and ``scale_factor`` (of the resizing before
            a central crop) if it has them.
        shape: Of the picture, height and width first: the picture as read, or the network's input.
    """
    height, width = shape[:2]
    seen = tuple(sample.get('img_shape', shape))[:2]
    scale = sample.get('scale_factor')
    as_read = tuple(sample.get('ori_shape', shape))[:2] == (height, width) != seen
    if scale is None or not as_read:
        return 0., 0., float(width), float(height)
    region = []
    for side, kept, factor in ((width, seen[1], scale[0]), (height, seen[0], scale[1])):
        resized = side * factor
        start = max((resized - kept) / 2, 0.)
        region.append((start / factor, min((start + kept) / factor, side)))
    (left, right), (top, bottom) = region
    return left, top, right, bottom


def to_picture(boxes: Any, sample: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Boxes of the network's input, in the picture.

    Args:
        boxes: ``(n, 4)`` or ``(4, )``: x1, y1, x2, y2.
        sample: See :func:`seen_region`.
        shape: See :func:`seen_region`.

    Returns:
        ``(n, 4)``, float64.
    """
    values = boxes.detach().cpu().numpy() if hasattr(boxes, 'detach') else np.asarray(boxes)
    left, top, right, bottom = seen_region(sample, shape)
    height, width = tuple(sample.get('img_shape', shape))[:2]
    scale = np.array([(right - left) / width, (bottom - top) / height])
    return values.reshape(-1, 4) * np.tile(scale, 2) + np.tile([left, top], 2)

"""A map as a grid of regions and back.

Shapes: B batch, H and W size of the map, C channels; the grid has R = rows * cols regions,
row-major, of T tokens each, row-major too.
"""
from __future__ import annotations

from torch import Tensor


def split_regions(x: Tensor, rows: int, cols: int) -> Tensor:
    """``(B, H, W, C) -> (B, R, T, C)``; H and W are multiples of ``rows`` and ``cols``."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, rows, height // rows, cols, width // cols, channels)
    return x.transpose(2, 3).reshape(batch, rows * cols, -1, channels)


def merge_regions(x: Tensor, rows: int, cols: int, high: int) -> Tensor:
    """Inverse of :func:`split_regions`: ``(B, R, T, C) -> (B, H, W, C)``.

    Args:
        x: Tokens by region.
        rows: Regions along the height.
        cols: Regions along the width.
        high: Height of a region, in tokens.
    """
    batch, _, tokens, channels = x.shape
    wide = tokens // high
    x = x.view(batch, rows, cols, high, wide, channels)
    return x.transpose(2, 3).reshape(batch, rows * high, cols * wide, channels)

"""Sines and cosines of single boxes' sizes, from which those of the pairs' ratios follow."""
from __future__ import annotations

import torch
from torch import Tensor

from .reference import EPS


def waves_of_sizes(boxes: Tensor, waves: Tensor) -> Tensor:
    """Sine and cosine of the logarithms of width and height.

    Args:
        boxes: ``(B, n, 4 or 5)``.
        waves: ``(K, )`` factors of the logarithms.

    Returns:
        ``(B, 2, 2, K, n)``: sine or cosine, width or height.
    """
    # The phases are large and only their differences count: double precision, for n numbers.
    sizes = (boxes[..., 2:4] + EPS).double().log().transpose(1, 2)
    phases = sizes[:, :, None] * waves.double()[:, None]
    return torch.stack((phases.sin(), phases.cos()), dim=1).to(boxes.dtype)

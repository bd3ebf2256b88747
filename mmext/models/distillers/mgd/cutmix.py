"""CutMix with boxes, as CutMix-Seg and MGD draw them."""
from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmext.errors import UserError


class CutMixBoxes:
    """Random masks made of boxes.

    Each box has a random area and aspect ratio and lies within the image; where boxes overlap, they
    take back what the other has set.

    Args:
        prop_range: Least and greatest part of the image, in (0, 1], that the boxes of a mask cover
            together if they do not overlap.
        n_boxes: Number of boxes of each mask.

    Raises:
        UserError: If a number is out of its range.

    Example:
        >>> masks = CutMixBoxes()(2, (512, 512))  # (2, 1, 512, 512), zeros and ones
    """

    def __init__(self, prop_range: tuple[float, float] = (0.25, 0.5), n_boxes: int = 3) -> None:
        low, high = prop_range
        if not 0 < low <= high <= 1:
            raise UserError(f'CutMixBoxes: prop_range={tuple(prop_range)!r} must be two numbers in (0, 1], '
                            'the smaller first')
        if n_boxes < 1:
            raise UserError(f'CutMixBoxes: n_boxes={n_boxes!r} must be at least 1')
        self.prop_range = (low, high)
        self.n_boxes = n_boxes

    def __call__(self, count: int, size: tuple[int, int], rng: Any = np.random) -> Tensor:
        """Draw masks.

        Args:
            count: Number of masks.
            size: Height and width.
            rng: NumPy's module of random numbers, or a RandomState.

        Returns:
            Zeros and ones ``(count, 1, H, W)``, on the CPU.
        """
        shape = np.array(size)
        props = rng.uniform(*self.prop_range, size=(count, self.n_boxes))
        heights = np.exp(rng.uniform(0.0, 1.0, size=props.shape) * np.log(props))
        sides = np.stack([heights, props / heights], axis=2) * np.sqrt(1.0 / self.n_boxes)
        sizes = np.round(sides * shape)
        starts = np.round((shape - sizes) * rng.uniform(0.0, 1.0, size=sizes.shape))
        boxes = np.concatenate([starts, starts + sizes], axis=2).astype(int)
        masks = torch.zeros(count, 1, *size)
        for mask, of_image in zip(masks, boxes):
            for top, left, bottom, right in of_image:
                inside = mask[:, top:bottom, left:right]
                inside.copy_(1 - inside)
        return masks


def mix(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """``second`` where the mask is 1, ``first`` elsewhere.

    Args:
        first: Images ``(B, 3, H, W)`` or labels ``(B, H, W)``.
        second: Of the same shape.
        mask: Zeros and ones ``(B, 1, H, W)``.
    """
    chosen = mask.bool()
    return torch.where(chosen if first.ndim == 4 else chosen.squeeze(1), second, first)

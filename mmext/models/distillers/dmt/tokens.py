"""Tokens of any backbone in one form: class token, patches and the grid that they lie on.

Shapes: B images, C channels, n patches out of the h x w of the grid.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch.nn.functional as F
from torch import Tensor

from mmext.errors import UserError


@dataclass(frozen=True)
class Tokens:
    """What a backbone makes of a batch.

    Attributes:
        cls: Class token ``(B, C)``, or None.
        patches: ``(B, n, C)``.
        grid: ``(h, w)``; n = h * w unless patches were left out.
        kept: Places of the patches in the grid ``(B, n)``, row by row; None: all, in order.
    """

    cls: Tensor | None
    patches: Tensor
    grid: tuple[int, int]
    kept: Tensor | None = None

    def resized(self, grid: tuple[int, int]) -> Tokens:
        """All patches on another grid, bilinear; the class token stays."""
        if grid == self.grid:
            return self
        maps = self.patches.transpose(1, 2).unflatten(2, self.grid)
        maps = F.interpolate(maps, grid, mode='bilinear', align_corners=False)
        return replace(self, patches=maps.flatten(2).transpose(1, 2), grid=grid)

    def at(self, kept: Tensor | None) -> Tokens:
        """The patches at some places only."""
        if kept is None:
            return self
        index = kept.unsqueeze(-1).expand(-1, -1, self.patches.shape[2])
        return replace(self, patches=self.patches.gather(1, index), kept=kept)


def read_tokens(values: Sequence[Tensor], image: tuple[int, int], extra: int, what: str) -> Tokens:
    """Tokens of what was recorded in a backbone.

    Args:
        values: A map ``(B, C, h, w)``; or tokens ``(B, extra + h * w, C)``; or those of visible patches,
            the mask and the indices that restore the order, as of ``mmpretrain.MAEViT``.
        image: Height and width of the images, from which the grid of tokens is found.
        extra: Number of tokens before the patches; the first is the class token.
        what: For messages.

    Raises:
        UserError: If it is none of these.
    """
    first = values[0]
    if len(values) == 1 and first.ndim == 4:
        return Tokens(None, first.flatten(2).transpose(1, 2), (first.shape[2], first.shape[3]))
    if first.ndim != 3 or len(values) not in (1, 3):
        shapes = ', '.join(str(tuple(value.shape)) for value in values)
        raise UserError(f'{what}: neither tokens (B, N, C), nor one map (B, C, h, w), nor what a MAEViT '
                        f'gives, but {shapes}')
    restore = values[2].long() if len(values) == 3 else None
    count = first.shape[1] - extra if restore is None else restore.shape[1]
    height = round((count * image[0] / image[1])**0.5)
    if count < 1 or height < 1 or count % height:
        raise UserError(f'{what}: {first.shape[1]} tokens without their {extra} extra ones make no grid for '
                        f'images of {image[0]}x{image[1]}: give extra_tokens')
    patches = first[:, extra:]
    kept = None if restore is None else restore.argsort(dim=1)[:, :patches.shape[1]]
    return Tokens(first[:, 0] if extra else None, patches, (height, count // height), kept)


def normalised(tokens: Tokens, eps: float) -> Tokens:
    """Each token through a layer norm without parameters."""
    def norm(value: Tensor) -> Tensor:
        return F.layer_norm(value, value.shape[-1:], eps=eps)
    return replace(tokens, cls=None if tokens.cls is None else norm(tokens.cls), patches=norm(tokens.patches))


def relations(patches: Tensor) -> Tensor:
    """Scaled products of all pairs of patches ``(B, n, n)``, before the softmax."""
    return patches @ patches.transpose(1, 2) / patches.shape[2]**0.5

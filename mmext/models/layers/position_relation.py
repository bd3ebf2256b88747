"""Position relation: an attention bias from the geometry of box pairs, from Relation-DETR.

"Relation DETR: Exploring Explicit Position Relation Prior for Object Detection", ECCV 2024,
arXiv 2407.11699, section 4.1; github.com/xiuqhou/Relation-DETR, Apache-2.0.

Shapes: B images, N queries, M keys, H heads.
"""
from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...ops.position_relation import position_relation
from ...registry import MODELS

#: The default of the decoders that take a relation.
RELATION = dict(type='mmext.PositionRelation')


@MODELS.register_module()
class PositionRelation(BaseModule):
    """Bias of a decoder's self-attention from the boxes that its last two layers predicted.

    A decoder calls it after every layer but the last: ``relation(previous, latest)``, where
    ``latest`` are the boxes that the layer predicts and ``previous`` those of the layer before (the
    initial references at first). The result is the next layer's additive attention mask. It is not
    accumulated over layers, and no gradient flows into the boxes.

    Any unit of length will do, but the same one for ``src`` and ``tgt``. Rotated boxes have their angle
    as a fifth number; their centre, width and height alone give the relation that ignores it.

    Args:
        num_heads: H, of the attention.
        embed_dims: Sine and cosine features of each of the four differences, an even number.
        temperature: Of the features' wave lengths.
        scale: Factor of the differences.
        triton: Run the Triton kernels where the boxes are on a GPU; None, the default, leaves it to the
            variable ``MMEXT_TRITON`` (0 if not set). Same results either way.
        init_cfg: See :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If ``embed_dims`` is odd.

    Example:
        >>> relation = PositionRelation(num_heads=8)
        >>> boxes = torch.rand(2, 100, 4)
        >>> relation(boxes).shape
        torch.Size([2, 8, 100, 100])
    """

    def __init__(self,
                 num_heads: int = 8,
                 embed_dims: int = 16,
                 temperature: float = 10000.,
                 scale: float = 100.,
                 triton: bool | None = None,
                 init_cfg: dict[str, Any] | None = None) -> None:
        super().__init__(init_cfg)
        if embed_dims % 2 or embed_dims < 2:
            raise ValueError(f'embed_dims={embed_dims}: expected an even number, for example '
                             f'{max(2, embed_dims + embed_dims % 2)}')
        self.num_heads = num_heads
        self.temperature = temperature
        self.scale = scale
        self.triton = triton
        self.proj = nn.Conv2d(4 * embed_dims, num_heads, 1)

    def forward(self, src: Tensor, tgt: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """The bias of queries with boxes ``src`` towards keys with boxes ``tgt``.

        Args:
            src: ``(B, N, 4)`` cxcywh, or ``(B, N, 5)`` with an angle in radians: offsets to the keys are
                then measured along the sides of the query's box, in a unit that x and y share.
            tgt: ``(B, M, 4 or 5)``; ``src`` itself by default.
            mask: ``(N, M)``, true where attention is forbidden (denoising groups): -inf there.

        Returns:
            ``(B, H, N, M)`` in float32 (float64 if the weights are), not negative where not masked.
            ``.flatten(0, 1)`` is the ``attn_mask`` of :class:`torch.nn.MultiheadAttention`.
        """
        tgt = src if tgt is None else tgt
        weight, bias = self.proj.weight.flatten(1), self.proj.bias
        assert bias is not None
        # Half precision is too coarse for phases of hundreds.
        dtype = torch.float64 if weight.dtype is torch.float64 else torch.float32
        return position_relation(src.to(dtype), tgt.to(dtype), weight.to(dtype), bias.to(dtype),
                                 self.temperature, self.scale, mask, self.triton)

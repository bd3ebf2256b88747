"""The mixers that stand in for BRA: attention over the whole map, or convolutions.

Shapes: B batch, H and W size of the map, C channels.
"""
from __future__ import annotations

from collections.abc import Callable

import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ....ops.depthwise import DepthwiseConv2d
from .attention import depthwise


class Attention(nn.Module):
    """Attention over the whole map, ``(B, H, W, C) -> (B, H, W, C)``.

    Published models have eight heads here whatever the head dimension of the other stages.

    Args:
        dim: C, a multiple of ``num_heads``.
        num_heads: Number of heads.
        qkv_bias: Whether the projections have a bias.
        qk_scale: Factor of the scores, ``(dim // num_heads) ** -0.5`` by default.
        attn_drop: Dropout rate of the attention weights.
        proj_drop: Dropout rate of the result.

    Raises:
        ValueError: If ``num_heads`` does not divide ``dim``.
    """

    attend: Callable[..., Tensor] = staticmethod(F.scaled_dot_product_attention)

    def __init__(self, dim: int, num_heads: int = 8, qkv_bias: bool = False,
                 qk_scale: float | None = None, attn_drop: float = 0.,
                 proj_drop: float = 0.) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise ValueError(f'global attention: num_heads={num_heads} does not divide dim={dim}')
        self.num_heads = num_heads
        self.scale = qk_scale or (dim // num_heads)**-0.5
        self.attn_drop = attn_drop
        self.qkv, self.proj = self._projections(dim, qkv_bias)
        self.proj_drop = nn.Dropout(proj_drop)

    def _projections(self, dim: int, bias: bool) -> tuple[nn.Module, nn.Module]:
        return nn.Linear(dim, 3 * dim, bias=bias), nn.Linear(dim, dim)

    def _attended(self, qkv: Tensor) -> Tensor:
        """``(B, H, W, 3*C) -> (B, H, W, C)``."""
        batch, height, width, channels = qkv.shape
        query, key, value = (part.view(batch, -1, self.num_heads, channels // 3 // self.num_heads)
                             .transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        out = self.attend(query, key, value, dropout_p=self.attn_drop if self.training else 0.,
                          scale=self.scale)
        return out.transpose(1, 2).reshape(batch, height, width, channels // 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj_drop(self.proj(self._attended(self.qkv(x))))


class AttentionLePE(Attention):
    """:class:`Attention` plus a depth-wise convolution of its input, before the projection.

    Args:
        dim: C.
        num_heads: See :class:`Attention`; as are ``qkv_bias``, ``qk_scale`` and the rates.
        side_dwconv: Kernel of the convolution; 0 for none.
    """

    def __init__(self, dim: int, num_heads: int = 8, qkv_bias: bool = False,
                 qk_scale: float | None = None, attn_drop: float = 0., proj_drop: float = 0.,
                 side_dwconv: int = 5) -> None:
        super().__init__(dim, num_heads, qkv_bias, qk_scale, attn_drop, proj_drop)
        self.lepe = depthwise(dim, side_dwconv)

    def forward(self, x: Tensor) -> Tensor:
        out = self._attended(self.qkv(x))
        if self.lepe is not None:
            out = out + self.lepe(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.proj_drop(self.proj(out))


class AttentionLePE2d(AttentionLePE):
    """Attention over the whole map, ``(B, C, H, W) -> (B, C, H, W)``.

    Here the depth-wise convolution takes the values, not the input. Arguments are those of
    :class:`AttentionLePE`.
    """

    def _projections(self, dim: int, bias: bool) -> tuple[nn.Module, nn.Module]:
        return nn.Conv2d(dim, 3 * dim, 1, bias=bias), nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x)
        out = self._attended(qkv.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        if self.lepe is not None:
            out = out + self.lepe(qkv.chunk(3, dim=1)[2])
        return self.proj_drop(self.proj(out))


class ConvMixer(nn.Sequential):
    """1x1, depth-wise 5x5 and 1x1 convolution in place of attention, channels last.

    ``(B, H, W, C) -> (B, H, W, C)``; the parameters are at the official places 1, 2 and 3.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(nn.Identity(), nn.Conv2d(dim, dim, 1),
                         DepthwiseConv2d(dim, 5), nn.Conv2d(dim, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

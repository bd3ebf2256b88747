"""The blocks of BiFormer: position convolution, attention, MLP; see :mod:`.biformer`.

Shapes: B batch, H and W size of the map, C channels.
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn as nn
from mmcv.cnn.bricks import DropPath
from torch import Tensor

from ..base import run_blocks
from ..layers import channel_norm
from .attention import BRA, BiLevelRoutingAttention
from .global_attention import Attention, AttentionLePE, AttentionLePE2d, ConvMixer


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of a map, ``(B, C, H, W) -> (B, C, H, W)``."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__(channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        return channel_norm(x, self)


class DWConv(nn.Module):
    """Depth-wise 3x3 convolution of a channels-last map, ``(B, H, W, C) -> (B, H, W, C)``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.dwconv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def make_mixer(dim: int, topk: int, side_dwconv: int, routed: dict[str, Any]) -> nn.Module:
    """The token mixer of a stage, ``(B, H, W, C) -> (B, H, W, C)``.

    Args:
        dim: C.
        topk: Routed regions; -1 is attention over the whole map, -2 the same with a local branch,
            0 three convolutions.
        side_dwconv: Kernel of the local branch.
        routed: Further arguments of :class:`.BiLevelRoutingAttention`.

    Raises:
        ValueError: If ``topk`` is less than -2.
    """
    if topk > 0:
        return BiLevelRoutingAttention(dim, topk=topk, side_dwconv=side_dwconv, **routed)
    if topk == -1:
        return Attention(dim)
    if topk == -2:
        return AttentionLePE(dim, side_dwconv=side_dwconv)
    if topk == 0:
        return ConvMixer(dim)
    raise ValueError(f'topk={topk}: expected a number of regions, 0 (convolutions), -1 (attention '
                     'over the whole map) or -2 (the same with a local branch)')


class Block(nn.Module):
    """A block of BiFormer, ``(B, C, H, W) -> (B, C, H, W)`` (paper, Fig. 4).

    Args:
        dim: C.
        drop_path: Rate of stochastic depth, on both branches.
        layer_scale_init_value: Initial layer scale; 0 or less for none.
        topk: See :func:`make_mixer`.
        mlp_ratio: Hidden channels of the MLP over C.
        mlp_dwconv: Depth-wise convolution inside the MLP.
        side_dwconv: Kernel of the local branch of the attention.
        before_attn_dwconv: 3 for a depth-wise position convolution, 0 for none.
        pre_norm: Norm before each branch, otherwise after its residual.
        routed: Further arguments of :class:`.BiLevelRoutingAttention`.

    Raises:
        ValueError: If an option has a value that cannot work.
    """

    def __init__(self, dim: int, drop_path: float = 0., layer_scale_init_value: float = -1.,
                 topk: int = 4, mlp_ratio: float = 4., mlp_dwconv: bool = False,
                 side_dwconv: int = 5, before_attn_dwconv: int = 3, pre_norm: bool = True,
                 **routed: Any) -> None:
        super().__init__()
        if before_attn_dwconv not in (0, 3):
            raise ValueError(f'before_attn_dwconv={before_attn_dwconv}: expected 3, or 0 for none '
                             '(the padding is 1, another kernel would change the size)')
        self.pos_embed = (nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
                          if before_attn_dwconv else None)
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = make_mixer(dim, topk, side_dwconv, routed)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        hidden = int(mlp_ratio * dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), DWConv(hidden) if mlp_dwconv else nn.Identity(),
                                 nn.GELU(), nn.Linear(hidden, dim))
        self.drop_path = DropPath(drop_path)
        self.pre_norm = pre_norm
        self.layer_scale = layer_scale_init_value > 0
        if self.layer_scale:
            self.gamma1 = nn.Parameter(torch.full((dim, ), float(layer_scale_init_value)))
            self.gamma2 = nn.Parameter(torch.full((dim, ), float(layer_scale_init_value)))

    def forward(self, x: Tensor) -> Tensor:
        if self.pos_embed is not None:
            x = x + self.pos_embed(x)
        x = x.permute(0, 2, 3, 1)
        for norm, branch, gamma in ((self.norm1, self.attn, 'gamma1'),
                                    (self.norm2, self.mlp, 'gamma2')):
            update = branch(norm(x) if self.pre_norm else x)
            if self.layer_scale:
                update = getattr(self, gamma) * update
            x = x + self.drop_path(update)
            if not self.pre_norm:
                x = norm(x)
        return x.permute(0, 3, 1, 2)


class PlainBlock(nn.Module):
    """A block in Swin's layout: no position convolution, no layer scale; channels last.

    ``(B, H, W, C) -> (B, H, W, C)``. Arguments are those of :class:`Block`.
    """

    def __init__(self, dim: int, drop_path: float = 0., topk: int = 4, mlp_ratio: float = 4.,
                 side_dwconv: int = 5, **routed: Any) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = make_mixer(dim, topk, side_dwconv, routed)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        hidden = int(mlp_ratio * dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PlainBlock2d(PlainBlock):
    """:class:`PlainBlock` of convolutions and :class:`.BRA`, ``(B, C, H, W) -> (B, C, H, W)``.

    Here ``topk=-1`` is attention over the whole map with a 5x5 local branch.
    """

    def __init__(self, dim: int, drop_path: float = 0., topk: int = 4, mlp_ratio: float = 4.,
                 side_dwconv: int = 5, **routed: Any) -> None:
        nn.Module.__init__(self)
        if topk < 1 and topk != -1:
            raise ValueError(f"topk={topk}: layout 'nchw' takes a number of regions, or -1 for "
                             'attention over the whole map')
        self.norm1 = LayerNorm2d(dim)
        self.attn = (BRA(dim, topk=topk, side_dwconv=side_dwconv, **routed)
                     if topk > 0 else AttentionLePE2d(dim))
        self.norm2 = LayerNorm2d(dim)
        hidden = int(mlp_ratio * dim)
        self.mlp = nn.Sequential(nn.Conv2d(dim, hidden, 1), nn.GELU(), nn.Conv2d(hidden, dim, 1))
        self.drop_path = DropPath(drop_path)


class Stage(nn.Sequential):
    """Blocks, ``(B, C, H, W) -> (B, C, H, W)``.

    Args:
        blocks: The blocks.
        recompute: Recompute each in the backward pass to save memory.
    """

    def __init__(self, blocks: Iterable[nn.Module], recompute: bool) -> None:
        super().__init__(*blocks)
        self.recompute = recompute

    def forward(self, x: Tensor) -> Tensor:
        return run_blocks(self, x, self.recompute)


class PlainStage(nn.Module):
    """:class:`Stage` of channels-last or channels-first blocks, in Swin's layout.

    Args:
        blocks: See :class:`Stage`; as is ``recompute``.
        channels_last: Whether the blocks take ``(B, H, W, C)``.
    """

    def __init__(self, blocks: Iterable[nn.Module], recompute: bool, channels_last: bool) -> None:
        super().__init__()
        self.blocks = Stage(blocks, recompute)
        self.channels_last = channels_last

    def forward(self, x: Tensor) -> Tensor:
        if not self.channels_last:
            return self.blocks(x)
        return self.blocks(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

"""Parts of DS-Net: attention between a map and a few tokens, and the block; see :mod:`.dsnet`.

Shapes: B batch, C channels of a stream (half of a block's), H and W size of the map, N = H * W its
pixels, M tokens of the global stream, G heads, D = C / G channels of a head.
"""
from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn import build_activation_layer
from mmcv.cnn.bricks import DropPath
from torch import Tensor

from ....registry import MODELS
from ..layers import pointwise


def _to_tokens(x: Tensor) -> Tensor:
    """``(B, C, H, W)`` to ``(B, N, C)``, row by row; a view if channels are last in memory."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def _to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """Inverse of :func:`_to_tokens`, a view with channels last in memory."""
    return tokens.reshape(tokens.shape[0], height, width, tokens.shape[2]).permute(0, 3, 1, 2)


def _resize(x: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(x, size=(height, width), mode='bilinear', align_corners=False)


class Pointwise(nn.Conv2d):
    """1x1 convolution with bias; parameters are those of :class:`torch.nn.Conv2d`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, x: Tensor, outputs: slice = slice(None)) -> Tensor:
        """``outputs`` selects channels of the result."""
        weight, bias = self.weight[outputs], self.bias
        return pointwise(x, weight, None if bias is None else bias[outputs])


def _split_heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, each ``(B, G, N, D)``, of the packed ``(B, N, 3*C)``; views."""
    batch, tokens, channels = qkv.shape
    parts = qkv.reshape(batch, tokens, 3, heads, channels // (3 * heads)).permute(2, 0, 3, 1, 4)
    return parts[0], parts[1], parts[2]


def _attend(queries: Tensor, keys: Tensor, values: Tensor, scale: float,
            dropout: nn.Dropout) -> Tensor:
    """Attention of ``(B, G, N, D)`` queries; the heads are joined again: ``(B, N, C)``."""
    x = F.scaled_dot_product_attention(
        queries, keys, values, dropout_p=dropout.p if dropout.training else 0., scale=scale)
    return x.transpose(1, 2).flatten(2)


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=.02)
        nn.init.zeros_(module.bias)


class _Alignment(nn.Module):
    """Parameters and computation of :class:`InterScaleAlignment`.

    :class:`DSBlock` has them among its own, so that its parameters keep the official names.
    """

    def __init__(self, channels: int, num_heads: int, qk_scale: float | None, attn_drop: float,
                 proj_drop: float) -> None:
        super().__init__()
        if num_heads < 1 or channels % num_heads:
            raise ValueError(f'num_heads={num_heads} does not divide the {channels} channels of a '
                             'stream')
        self.num_heads = num_heads
        self.scale = qk_scale or (channels // num_heads)**-0.5
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj_drop = nn.Dropout(proj_drop)
        self.norm_conv2 = nn.BatchNorm2d(channels)
        self.cross_channel_up_conv = Pointwise(channels, 3 * channels)
        self.norm_sa2 = nn.LayerNorm(channels)
        self.cross_channel_up_sa = nn.Linear(channels, 3 * channels)
        self.fuse_channel_conv = nn.Linear(channels, channels)
        self.fuse_channel_sa = nn.Linear(channels, channels)

    def align(self, x: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """What :meth:`InterScaleAlignment.forward` returns."""
        height, width = x.shape[-2:]
        # Fused kernels want the channels of a head side by side, which they are on a CPU already.
        local = _to_tokens(self.cross_channel_up_conv(self.norm_conv2(x))).contiguous()
        local_q, local_k, local_v = _split_heads(local, self.num_heads)
        global_q, global_k, global_v = _split_heads(
            self.cross_channel_up_sa(self.norm_sa2(tokens)), self.num_heads)
        to_local = self._attend(local_q, global_k, global_v)
        to_global = self._attend(global_q, local_k, local_v)
        x = x + _to_map(self.fuse_channel_conv(to_local), height, width)
        return x, tokens + self.fuse_channel_sa(to_global)

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return self.proj_drop(_attend(queries, keys, values, self.scale, self.attn_drop))


@MODELS.register_module()
class InterScaleAlignment(_Alignment):
    """Two-way cross attention of a map and a few tokens that describe the same image.

    Every pixel of the map attends to all tokens and every token to all pixels; each stream keeps a
    residual (paper, Sec. 3.3). No matrix of attention weights is stored on the way forward, and
    neither size is fixed.

    Args:
        channels: C, equal in both streams and a multiple of ``num_heads``.
        num_heads: G.
        qk_scale: Factor of the attention scores; by default ``D ** -0.5``.
        attn_drop: Dropout rate of the attention weights.
        proj_drop: Dropout rate of what is attended to, before the last projections.

    Raises:
        ValueError: If the channels cannot be divided into heads.

    Example:
        >>> alignment = InterScaleAlignment(64, num_heads=4)
        >>> x, tokens = alignment(torch.rand(1, 64, 20, 30), torch.rand(1, 6, 64))
        >>> x.shape, tokens.shape
        (torch.Size([1, 64, 20, 30]), torch.Size([1, 6, 64]))
    """

    def __init__(self,
                 channels: int,
                 num_heads: int = 8,
                 qk_scale: float | None = None,
                 attn_drop: float = 0.,
                 proj_drop: float = 0.) -> None:
        super().__init__(channels, num_heads, qk_scale, attn_drop, proj_drop)
        self.apply(_init_linear)

    def forward(self, x: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Exchange information.

        Args:
            x: Local stream ``(B, C, H, W)``.
            tokens: Global stream ``(B, M, C)``.

        Returns:
            Both streams, in the shapes they came in.
        """
        return self.align(x, tokens)


class Mlp2d(nn.Module):
    """Two 1x1 convolutions, optionally with a depth-wise one between; keeps ``(B, C, H, W)``.

    Args:
        channels: C.
        hidden_channels: Channels between the two.
        act_cfg: The activation.
        drop: Dropout rate after the activation and at the end.
        conv_ffn: Put a depth-wise 3x3 convolution before the activation.
    """

    def __init__(self, channels: int, hidden_channels: int, act_cfg: dict[str, Any], drop: float,
                 conv_ffn: bool) -> None:
        super().__init__()
        self.fc1 = Pointwise(channels, hidden_channels)
        self.dwconv = nn.Sequential(OrderedDict(
            dwconv=nn.Conv2d(hidden_channels, hidden_channels, 3, padding=1,
                             groups=hidden_channels))) if conv_ffn else nn.Identity()
        self.act = build_activation_layer(act_cfg)
        self.fc2 = Pointwise(hidden_channels, channels)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.act(self.dwconv(self.fc1(x))))
        return self.drop(self.fc2(x))


class DSBlock(_Alignment):
    """A local stream at full and a global one at low resolution; ``(B, dim, H, W)`` stays so.

    Half of the channels go through a depth-wise convolution, the other half, resized to
    ``H // downsample x W // downsample`` tokens, through self-attention; the two are aligned (see
    :class:`InterScaleAlignment`) and fused (paper, Fig. 2).

    Args:
        dim: Channels of the map, a multiple of ``2 * num_heads``.
        num_heads: Heads of all three attentions.
        mlp_ratio: Hidden channels of the MLP over ``dim``.
        downsample: Ratio of the two resolutions; a map smaller than it has one global token.
        qk_scale: Factor of the attention scores; by default the head's channels ``** -0.5``.
        drop: Dropout rate of the MLP and of what is attended to.
        attn_drop: Dropout rate of the attention weights. The official code has 0.1, always.
        drop_path: Rate of stochastic depth.
        act_cfg: Activation of the MLP.
        conv_ffn: Depth-wise 3x3 convolution inside the MLP.

    Raises:
        ValueError: If ``dim`` cannot be divided into two streams of ``num_heads`` heads, or
            ``downsample`` is less than 1.

    Example:
        >>> DSBlock(64, num_heads=2, downsample=4)(torch.rand(1, 64, 20, 30)).shape
        torch.Size([1, 64, 20, 30])
    """

    def __init__(self,
                 dim: int,
                 num_heads: int,
                 mlp_ratio: float = 4.,
                 downsample: int = 2,
                 qk_scale: float | None = None,
                 drop: float = 0.,
                 attn_drop: float = 0.1,
                 drop_path: float = 0.,
                 act_cfg: dict[str, Any] | None = None,
                 conv_ffn: bool = False) -> None:
        if dim % 2:
            raise ValueError(f'dim={dim} is odd: the two streams have half of the channels each')
        if downsample < 1:
            raise ValueError(f'downsample={downsample}: expected 1 or more')
        half = dim // 2
        super().__init__(half, num_heads, qk_scale, attn_drop, proj_drop=drop)
        self.downsample = downsample
        self.pos_embed = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = nn.BatchNorm2d(dim)
        self.conv1 = Pointwise(dim, dim)
        self.conv2 = Pointwise(dim, dim)
        self.norm_conv1 = nn.BatchNorm2d(half)
        self.conv = nn.Conv2d(half, half, 3, padding=1, groups=half)
        self.norm_sa1 = nn.LayerNorm(half)
        self.channel_up = nn.Linear(half, 3 * half)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.BatchNorm2d(dim)
        self.mlp = Mlp2d(dim, int(dim * mlp_ratio), act_cfg or dict(type='GELU'), drop, conv_ffn)
        self.apply(_init_linear)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_embed(x)
        x = x + self.drop_path(self.conv2(self._streams(self.norm1(x))))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def _streams(self, x: Tensor) -> Tensor:
        """Both streams of the normalised map, side by side: ``(B, dim, H, W)``."""
        height, width = x.shape[-2:]
        rows, cols = max(height // self.downsample, 1), max(width // self.downsample, 1)
        # The official order: the global stream is the first half here and the last at the end.
        half = x.shape[1] // 2
        # Two convolutions instead of halves of one, which would have to be copied.
        tokens = _to_tokens(_resize(self.conv1(x, slice(half)), rows, cols))
        local = self.conv1(x, slice(half, None))
        local = local + self.conv(self.norm_conv1(local))
        tokens = tokens + self._attend(
            *_split_heads(self.channel_up(self.norm_sa1(tokens)), self.num_heads))
        local, tokens = self.align(local, tokens)
        return torch.cat([local, _resize(_to_map(tokens, rows, cols), height, width)], dim=1)

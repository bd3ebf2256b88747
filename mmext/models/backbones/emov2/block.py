"""Parts of EMOv2: norms, spanning window attention and the block; see :mod:`.emov2`.

Shapes: B batch, C input channels of a layer, M expanded channels (C x exp_ratio), H and W size of
the map, P a window's side, T = P * P tokens in a window, N windows in all, G heads, D channels of
a head of queries and keys, E of values.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import Tensor

from ....errors import did_you_mean
from ....ops.depthwise import DepthwiseConv2d
from ....registry import MODELS
from ..layers import channel_norm, pointwise
from .windows import Span, from_windows, to_windows, window_attention


class LayerNorm2d(nn.Module):
    """LayerNorm over the channels of a map, ``(B, C, H, W) -> (B, C, H, W)``.

    Args:
        channels: C.
        eps: Added to the variance.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        return channel_norm(x, self.norm)


class HardMish(nn.Module):
    """x / 2 * clamp(x + 2, 0, 2), element-wise."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x * (x + 2).clamp(0, 2)


NORMS: dict[str, Any] = {
    'none': lambda channels: nn.Identity(),
    'BN': partial(nn.BatchNorm2d, eps=1e-6),
    'IN': partial(nn.InstanceNorm2d, eps=1e-6),
    'LN2d': LayerNorm2d,
}
ACTIVATIONS: dict[str, Any] = {
    'none': nn.Identity, 'ReLU': nn.ReLU, 'ReLU6': nn.ReLU6, 'PReLU': nn.PReLU, 'SiLU': nn.SiLU,
    'GELU': nn.GELU, 'Mish': nn.Mish, 'HardMish': HardMish, 'Hardswish': nn.Hardswish,
    'Hardsigmoid': nn.Hardsigmoid, 'Sigmoid': nn.Sigmoid, 'Tanh': nn.Tanh,
}


def choose(kind: str, name: str, table: dict[str, Any]) -> Any:
    """``table[name]``, or a ValueError that names the nearest ``kind``."""
    if name not in table:
        raise ValueError(f"unknown {kind} '{name}', expected one of {', '.join(table)}"
                         f'{did_you_mean(name, table)}')
    return table[name]


class ConvNormAct(nn.Module):
    """Convolution, norm, activation; ``(B, C, H, W) -> (B, C', H / stride, W / stride)``."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1,
                 groups: int = 1, bias: bool = False, norm: str = 'none', act: str = 'none') -> None:
        super().__init__()
        padding = math.ceil((kernel_size - stride) / 2)
        self.conv: nn.Conv2d
        if groups == in_channels == out_channels:
            self.conv = DepthwiseConv2d(in_channels, kernel_size, stride, padding, bias)
        else:
            self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding,
                                  groups=groups, bias=bias)
        self.norm = choose('norm', norm, NORMS)(out_channels)
        self.act = choose('activation', act, ACTIVATIONS)()

        # A 1x1 convolution is one matrix product where channels are last.
        self.pointwise = kernel_size == 1 and stride == 1 and groups == 1

    def forward(self, x: Tensor) -> Tensor:
        x = pointwise(x, self.conv.weight, self.conv.bias) if self.pointwise else self.conv(x)
        return self.act(self.norm(x))


class ExpandConv(nn.Module):
    """The convolutional expanding operator, ``(B, C, H, W) -> (B, M, H, W)``."""

    def __init__(self, in_channels: int, mid_channels: int, kernel_size: int = 1, groups: int = 1,
                 bias: bool = True, act: str = 'SiLU') -> None:
        super().__init__()
        self.net = ConvNormAct(in_channels, mid_channels, kernel_size, groups=groups, bias=bias,
                               act=act)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


@MODELS.register_module()
class SpanningAttention(nn.Module):
    """Windowed attention whose value path is the expansion, ``(B, C, H, W) -> (B, M, H, W)``.

    The same queries, keys and values are used in every span; the results are summed (paper,
    Sec. 3.3). The map is zero-padded at the bottom and right to whole windows; padded tokens take
    part in the softmax, as in the official code. There are no position parameters, so weights
    trained with one window size load with any other.

    Args:
        in_channels: C, a multiple of ``head_dim``.
        mid_channels: M, a multiple of the number of heads.
        head_dim: D.
        window_size: P in pixels; 0 or less makes the whole map one window.
        spans: ``('close', )`` for adjacent windows, ``('remote', )`` for dilated ones, or both.
        qkv_bias: Whether the projections have a bias.
        act: Activation of the values.
        attn_drop: Dropout rate of the attention weights.
        v_group: Project the values of each head from that head's channels only.
        attn_pre: Attend to the input, then expand. With both spans the official code puts the
            close windows back in the remote pattern, and so does this class, lest weights trained
            there change meaning; no published model uses it.

    Raises:
        ValueError: If the channels cannot be divided into heads.

    Example:
        >>> attention = SpanningAttention(32, 128, head_dim=16, window_size=7)
        >>> attention(torch.rand(1, 32, 20, 30)).shape
        torch.Size([1, 128, 20, 30])
    """

    def __init__(self,
                 in_channels: int,
                 mid_channels: int,
                 head_dim: int = 64,
                 window_size: int = 7,
                 spans: Sequence[Span] = ('remote', 'close'),
                 qkv_bias: bool = True,
                 act: str = 'GELU',
                 attn_drop: float = 0.,
                 v_group: bool = False,
                 attn_pre: bool = False) -> None:
        super().__init__()
        if head_dim < 1 or in_channels % head_dim or mid_channels % (in_channels // head_dim):
            raise ValueError(f'{in_channels} channels, expanded to {mid_channels}, cannot be divided '
                             f'into heads of {head_dim} channels')
        self.heads = in_channels // head_dim
        self.window_size = window_size
        self.spans = tuple(spans)
        self.attn_drop = attn_drop
        self.attn_pre = attn_pre
        self.qk = ConvNormAct(in_channels, 2 * in_channels, bias=qkv_bias)
        self.v = ConvNormAct(in_channels, mid_channels, groups=self.heads if v_group else 1,
                             bias=qkv_bias, act=act)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        high = self.window_size if self.window_size > 0 else height
        wide = self.window_size if self.window_size > 0 else width
        rows, cols = (height + high - 1) // high, (width + wide - 1) // wide
        if rows * high != height or cols * wide != width:
            x = F.pad(x, (0, cols * wide - width, 0, rows * high - height))
        values = x if self.attn_pre else self.v(x)
        x = self._attend(self.qk(x), values, rows, cols)
        if self.attn_pre:
            x = self.v(x)
        return x[..., :height, :width]

    def _attend(self, qk: Tensor, values: Tensor, rows: int, cols: int) -> Tensor:
        """Attention in every window of every span, summed over spans; ``(B, G*E, H, W)``."""
        dropout = self.attn_drop if self.training else 0.
        # One window: remote and close are the same tokens in the same order.
        once = rows == cols == 1 and dropout == 0.
        spans = self.spans[:1] if once else self.spans
        queries, keys, values = (
            to_windows(part, self.heads, rows, cols, spans) for part in (*qk.chunk(2, dim=1), values))
        attended = window_attention(queries, keys, values, dropout)
        places: tuple[Span, ...] = spans
        if self.attn_pre and len(self.spans) > 1:
            remote: Span = 'remote'
            places = (remote, ) * len(spans)
        total = from_windows(attended, rows, cols, (qk.shape[2], qk.shape[3]), places)
        return total * len(self.spans) if once and len(self.spans) > 1 else total


#: Names of the expanding operators and the windows each attends in; None is the convolution.
OPERATORS: dict[str, tuple[Span, ...] | None] = {
    'conv': None, 'remote': ('remote', ), 'close': ('close', ), 'hybrid': ('remote', 'close'),
}


class LayerScale2d(nn.Module):
    """One learned factor per channel of a map, ``(B, C, H, W) -> (B, C, H, W)``."""

    def __init__(self, channels: int, init_value: float = 1e-6) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((1, channels, 1, 1), init_value))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class InvertedResidualMobileBlock(nn.Module):
    """i2RMB: norm, expansion, depth-wise convolution, projection, layer scale, one residual.

    ``(B, C, H, W) -> (B, C', H / stride, W / stride)``. Both skips (around the depth-wise
    convolution and around the block) need ``skip``, stride 1 and C = C'. Layer scale multiplies
    blocks without a residual too, so at initialisation a stage starts from values of order 1e-6:
    train from scratch in float32 or bfloat16, float16 underflows.

    Args:
        in_channels: C.
        out_channels: C'.
        operators: Expanding operators whose results are summed; keys of :data:`OPERATORS`.
        exp_ratio: M / C.
        norm: Norm at the entrance, a key of :data:`NORMS`.
        act: Activation of the expansion, a key of :data:`ACTIVATIONS`.
        dw_kernel_size: Side of the depth-wise kernel; 0 leaves that convolution out.
        dw_norm_act: Norm and activation after the depth-wise convolution. ``('LN2d', 'GELU')`` is
            what the official UNet segmentor has; every other published model has the default.
        stride: 1 or 2.
        skip: Allow the residual.
        conv_kernel_size: Kernel of the 'conv' operator; conv_groups: its groups.
        head_dim, window_size, qkv_bias, attn_drop, v_group, attn_pre: See
            :class:`SpanningAttention`.
        drop: Dropout rate before the projection.
        drop_path: Rate of stochastic depth.
        layer_scale_init_value: Initial layer scale; 0 leaves it out.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 operators: Sequence[str] = ('conv', ),
                 exp_ratio: float = 4.,
                 norm: str = 'BN',
                 act: str = 'SiLU',
                 dw_kernel_size: int = 5,
                 dw_norm_act: tuple[str, str] = ('BN', 'SiLU'),
                 stride: int = 1,
                 skip: bool = True,
                 conv_kernel_size: int = 1,
                 conv_groups: int = 1,
                 head_dim: int = 64,
                 window_size: int = 7,
                 qkv_bias: bool = True,
                 attn_drop: float = 0.,
                 v_group: bool = False,
                 attn_pre: bool = False,
                 drop: float = 0.,
                 drop_path: float = 0.,
                 layer_scale_init_value: float = 1e-6) -> None:
        super().__init__()
        mid_channels = int(in_channels * exp_ratio)
        self.skip = skip and stride == 1 and in_channels == out_channels
        self.norm = choose('norm', norm, NORMS)(in_channels)
        self.eops = nn.ModuleList()
        for operator in operators:
            spans = choose('operator', operator, OPERATORS)
            if spans is None:
                self.eops.append(ExpandConv(in_channels, mid_channels, conv_kernel_size, conv_groups,
                                            qkv_bias, act))
            else:
                self.eops.append(SpanningAttention(in_channels, mid_channels, head_dim, window_size,
                                                   spans, qkv_bias, act, attn_drop, v_group,
                                                   attn_pre))
        if not self.eops:
            raise ValueError(f'a block needs an operator, one or more of {", ".join(OPERATORS)}')
        self.conv_local: nn.Module = nn.Identity()
        if dw_kernel_size > 0:
            self.conv_local = ConvNormAct(mid_channels, mid_channels, dw_kernel_size, stride,
                                          groups=mid_channels, norm=dw_norm_act[0],
                                          act=dw_norm_act[1])
        self.proj_drop = nn.Dropout(drop)
        self.proj = ConvNormAct(mid_channels, out_channels)
        self.ls = (LayerScale2d(out_channels, layer_scale_init_value)
                   if layer_scale_init_value > 0 else nn.Identity())
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        x = self.norm(x)
        expanded = self.eops[0](x)
        for operator in self.eops[1:]:
            expanded = expanded + operator(x)
        local = self.conv_local(expanded)
        x = expanded + local if self.skip else local
        x = self.ls(self.proj(self.proj_drop(x)))
        return shortcut + self.drop_path(x) if self.skip else x

"""The straightforward formulation of the backbones, to measure against.

It is how the authors compute: channels first in memory, norms over channels through permuted copies,
attention weights as a matrix, routed keys and values gathered through an expanded index, close and
remote windows one after the other, torch's own depth-wise and 1x1 convolutions.
"""
from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmext.models.backbones.base import Backbone
from mmext.models.backbones.biformer import Attention, BiLevelRoutingAttention
from mmext.models.backbones.biformer import blocks as biformer
from mmext.models.backbones.dsnet import DSBlock
from mmext.models.backbones.dsnet import block as dsnet
from mmext.models.backbones.emov2 import SpanningAttention
from mmext.models.backbones.emov2 import block as emov2
from mmext.ops.bra import routed_attention_reference
from mmext.ops.depthwise import DepthwiseConv2d


def use_straightforward(module: nn.Module) -> nn.Module:
    """Put the straightforward formulation into every layer of ``module`` that has a faster one."""
    for layer in module.modules():
        if isinstance(layer, BiLevelRoutingAttention):
            layer.attend = routed_attention_reference
        elif isinstance(layer, Attention):
            layer.attend = _softmax_attention
        elif isinstance(layer, Backbone):
            _replace(layer, '_prepared', lambda self, x: x)
        elif isinstance(layer, emov2.ConvNormAct):
            layer.pointwise = False
        for kind, name, function in _METHODS:
            if isinstance(layer, kind):
                _replace(layer, name, function)
    return module


def _replace(layer: nn.Module, name: str, function: Callable[..., Any]) -> None:
    setattr(layer, name, MethodType(function, layer))


def _softmax_attention(query: Tensor, key: Tensor, value: Tensor, dropout_p: float,
                       scale: float) -> Tensor:
    weights = ((query @ key.transpose(-2, -1)) * scale).softmax(dim=-1)
    return F.dropout(weights, dropout_p) @ value


def _norm_of_copies(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    x = x.permute(0, 2, 3, 1).contiguous()
    x = F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    return x.permute(0, 3, 1, 2).contiguous()


def _spans_in_turn(self: SpanningAttention, x: Tensor) -> Tensor:
    height, width = x.shape[-2:]
    high, wide = (self.window_size, ) * 2 if self.window_size > 0 else (height, width)
    rows, cols = -(-height // high), -(-width // wide)
    x = F.pad(x, (0, cols * wide - width, 0, rows * high - height))
    parts = [*self.qk(x).chunk(2, dim=1), self.v(x)]
    maps = []
    for span in self.spans:
        close = span == 'close'
        query, key, value = (_windows(part, self.heads, rows, cols, close) for part in parts)
        out = _softmax_attention(query, key, value, 0., query.shape[-1]**-0.5)
        out = out.reshape(-1, rows, cols, self.heads, high, wide, out.shape[-1])
        order = (0, 3, 6, 1, 4, 2, 5) if close else (0, 3, 6, 4, 1, 5, 2)
        maps.append(out.permute(order).reshape(len(x), -1, rows * high, cols * wide))
    return sum(maps[1:], maps[0])[..., :height, :width]


def _windows(x: Tensor, heads: int, rows: int, cols: int, close: bool) -> Tensor:
    batch, channels, height, width = x.shape
    dim, high, wide = channels // heads, height // rows, width // cols
    if close:
        x = x.reshape(batch, heads, dim, rows, high, cols, wide).permute(0, 3, 5, 1, 4, 6, 2)
    else:
        x = x.reshape(batch, heads, dim, high, rows, wide, cols).permute(0, 4, 6, 1, 3, 5, 2)
    return x.reshape(batch * rows * cols, heads, high * wide, dim)


def _convolution(self: nn.Conv2d, x: Tensor, outputs: slice = slice(None)) -> Tensor:
    """A 1x1 convolution by torch; where a part of the outputs is wanted, all are computed once."""
    return nn.Conv2d.forward(self, x)


def _streams(self: DSBlock, x: Tensor) -> Tensor:
    height, width = x.shape[-2:]
    rows, cols = max(height // self.downsample, 1), max(width // self.downsample, 1)
    tokens, local = self.conv1(x).chunk(2, dim=1)
    tokens = F.interpolate(tokens, size=(rows, cols), mode='bilinear', align_corners=False)
    tokens = tokens.flatten(2).transpose(1, 2)
    local = local + self.conv(self.norm_conv1(local))
    packed = self.channel_up(self.norm_sa1(tokens))
    tokens = tokens + self._attend(*_heads(packed, self.num_heads))
    local, tokens = self.align(local, tokens)
    tokens = tokens.transpose(1, 2).reshape(len(x), -1, rows, cols)
    tokens = F.interpolate(tokens, size=(height, width), mode='bilinear', align_corners=False)
    return torch.cat([local, tokens], dim=1)


def _align(self: DSBlock, x: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    local = self.cross_channel_up_conv(self.norm_conv2(x)).flatten(2).transpose(1, 2)
    local_q, local_k, local_v = _heads(local, self.num_heads)
    global_q, global_k, global_v = _heads(self.cross_channel_up_sa(self.norm_sa2(tokens)),
                                          self.num_heads)
    to_local = self.fuse_channel_conv(self._attend(local_q, global_k, global_v))
    to_global = self.fuse_channel_sa(self._attend(global_q, local_k, local_v))
    return x + to_local.transpose(1, 2).reshape(x.shape), tokens + to_global


def _heads(packed: Tensor, heads: int) -> tuple[Tensor, ...]:
    batch, tokens, channels = packed.shape
    return packed.reshape(batch, tokens, 3, heads, channels // (3 * heads)).permute(2, 0, 3, 1, 4).unbind()


def _attend(self: DSBlock, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    drop = self.attn_drop
    out = _softmax_attention(query, key, value, drop.p if drop.training else 0., self.scale)
    return self.proj_drop(out.transpose(1, 2).flatten(2))


_METHODS: list[tuple[type[nn.Module], str, Callable[..., Any]]] = [
    (DepthwiseConv2d, 'forward', nn.Conv2d.forward),
    (biformer.LayerNorm2d, 'forward', _norm_of_copies),
    (emov2.LayerNorm2d, 'forward', lambda self, x: _norm_of_copies(self.norm, x)),
    (SpanningAttention, 'forward', _spans_in_turn),
    (dsnet.Pointwise, 'forward', _convolution),
    (DSBlock, '_streams', _streams),
    (DSBlock, 'align', _align),
    (DSBlock, '_attend', _attend),
]

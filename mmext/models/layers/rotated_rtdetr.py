"""Body of RT-DETR (arXiv 2304.08069) as O2-RTDETR uses it: ResNet-vd and the hybrid encoder.

Shapes: B images, C channels, maps from fine to coarse.
"""
from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_activation_layer, build_conv_layer, build_norm_layer
from mmdet.models.backbones import ResNetV1d
from mmdet.models.layers import DetrTransformerEncoder
from torch import Tensor, nn

_BN = dict(type='BN', requires_grad=True)
_SILU = dict(type='SiLU', inplace=True)


class ResNetVD(ResNetV1d):
    """mmdet's ResNetV1d with a projection in the first block also where widths agree (R18, R34)."""

    def make_res_layer(self, **kwargs: Any) -> nn.Module:
        """A stage; see mmdet's."""
        layer = super().make_res_layer(**kwargs)
        first = layer[0]
        if first.downsample is None:
            planes = kwargs['planes'] * kwargs['block'].expansion
            first.downsample = nn.Sequential(
                build_conv_layer(kwargs.get('conv_cfg'), kwargs['inplanes'], planes, 1, bias=False),
                build_norm_layer(kwargs['norm_cfg'], planes)[1])
        return layer


class RepVGGBlock(nn.Module):
    """BN(3x3) + BN(1x1), then the activation."""

    def __init__(self, channels: int, norm_cfg: dict[str, Any], act_cfg: dict[str, Any] = _SILU) -> None:
        super().__init__()
        self.activate = build_activation_layer(dict(act_cfg))
        self.rbr_dense = ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=None)
        self.rbr_1x1 = ConvModule(channels, channels, 1, norm_cfg=norm_cfg, act_cfg=None)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape."""
        return self.activate(self.rbr_dense(x) + self.rbr_1x1(x))


class CSPRepLayer(nn.Module):
    """Two 1x1 branches, one with RepVGG blocks, and their sum."""

    def __init__(self, in_channels: int, out_channels: int, expansion: float, norm_cfg: dict[str, Any],
                 num_blocks: int = 3, act_cfg: dict[str, Any] = _SILU) -> None:
        super().__init__()
        hidden = int(out_channels * expansion)
        conv: dict[str, Any] = dict(kernel_size=1, norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.main_conv = ConvModule(in_channels, hidden, **conv)
        self.short_conv = ConvModule(in_channels, hidden, **conv)
        self.blocks = nn.Sequential(*(RepVGGBlock(hidden, norm_cfg, act_cfg) for _ in range(num_blocks)))
        self.final_conv = (nn.Identity() if hidden == out_channels else
                           ConvModule(hidden, out_channels, **conv))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, in, H, W)`` to ``(B, out, H, W)``."""
        return self.final_conv(self.blocks(self.main_conv(x)) + self.short_conv(x))


class RTDETRFPN(nn.Module):
    """Top-down, then bottom-up fusion.

    Args:
        in_channels: Of the maps.
        out_channels: Of all results.
        expansion: Width of the CSP layers' branches by that of their results.
        num_csp_blocks: RepVGG blocks of a CSP layer.
        norm_cfg: Of all convolutions.
        act_cfg: After all convolutions but the last ones.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, expansion: float = 1.,
                 num_csp_blocks: int = 3, norm_cfg: dict[str, Any] = _BN,
                 act_cfg: dict[str, Any] = _SILU) -> None:
        super().__init__()
        conv: dict[str, Any] = dict(norm_cfg=norm_cfg, act_cfg=act_cfg)
        csp: dict[str, Any] = dict(expansion=expansion, norm_cfg=norm_cfg, num_blocks=num_csp_blocks,
                                   act_cfg=act_cfg)
        pairs = list(pairwise(in_channels))  # (finer, coarser)
        self.reduce_layers = nn.ModuleList(ConvModule(high, low, 1, **conv) for low, high in pairs[::-1])
        self.top_down_blocks = nn.ModuleList(CSPRepLayer(2 * low, low, **csp) for low, _ in pairs[::-1])
        self.downsamples = nn.ModuleList(
            ConvModule(low, low, 3, stride=2, padding=1, **conv) for low, _ in pairs)
        self.bottom_up_blocks = nn.ModuleList(CSPRepLayer(2 * low, high, **csp) for low, high in pairs)
        self.out_convs = nn.ModuleList(
            ConvModule(one, out_channels, 1, norm_cfg=norm_cfg, act_cfg=None) for one in in_channels)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps to maps of the same shapes."""
        inner = [maps[-1]]
        for low, reduce, block in zip(reversed(maps[:-1]), self.reduce_layers, self.top_down_blocks):
            inner[0] = reduce(inner[0])
            up = F.interpolate(inner[0], size=low.shape[-2:], mode='nearest')
            inner.insert(0, block(torch.cat((up, low), 1)))
        outs = [inner[0]]
        for high, down, block in zip(inner[1:], self.downsamples, self.bottom_up_blocks):
            outs.append(block(torch.cat((down(outs[-1]), high), 1)))
        return tuple(conv(out) for conv, out in zip(self.out_convs, outs))


class RTDETREncoder(nn.Module):
    """Attention within the coarsest map, fusion across maps.

    Args:
        in_channels: Of the maps.
        layer_cfg: Of a :class:`mmdet.DetrTransformerEncoder` layer.
        fpn_cfg: Arguments of :class:`RTDETRFPN`; None: no fusion.
        use_encoder_idx: Maps with attention.
        num_encoder_layers: Of each of them, or one number for all.
        temperature: Of the position encoding.
        attention_first: Attention before the fusion; else after.
    """

    def __init__(self, in_channels: Sequence[int], layer_cfg: dict[str, Any],
                 fpn_cfg: dict[str, Any] | None, use_encoder_idx: Sequence[int] = (-1, ),
                 num_encoder_layers: int | Sequence[int] = 1, temperature: float = 10000.,
                 attention_first: bool = True) -> None:
        super().__init__()
        self.embed_dims = layer_cfg['self_attn_cfg']['embed_dims']
        self.levels = [index % len(in_channels) for index in use_encoder_idx]
        self.temperature, self.attention_first = temperature, attention_first
        depths = [num_encoder_layers] * len(self.levels) if isinstance(num_encoder_layers, int) else \
            list(num_encoder_layers)
        if len(depths) != len(self.levels):
            raise ValueError(f'num_encoder_layers={depths}: expected a number for each of the '
                             f'{len(self.levels)} maps in use_encoder_idx')
        self.transformer_blocks = nn.ModuleList(
            DetrTransformerEncoder(num_layers=depth, layer_cfg=dict(layer_cfg)) for depth in depths)
        self.fpn = None if fpn_cfg is None else RTDETRFPN(**fpn_cfg)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps ``(B, C, H, W)`` to the same shapes."""
        if self.attention_first:
            maps = self._attention(maps)
        maps = tuple(maps) if self.fpn is None else self.fpn(maps)
        return maps if self.attention_first else self._attention(maps)

    def _attention(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        maps = list(maps)
        for index, block in zip(self.levels, self.transformer_blocks):
            tokens = maps[index].flatten(2).transpose(1, 2)
            position = self._position(maps[index].shape[-2], maps[index].shape[-1], tokens)
            tokens = block(query=tokens, query_pos=position, key_padding_mask=None)
            maps[index] = tokens.transpose(1, 2).unflatten(-1, maps[index].shape[-2:])
        return tuple(maps)

    def _position(self, height: int, width: int, like: Tensor) -> Tensor:
        """``(1, H W, C)``; columns come first, unlike in the tokens, as in the published models."""
        count = self.embed_dims // 4
        steps = torch.arange(count, dtype=torch.float32, device=like.device) / count
        omega = 1 / self.temperature**steps
        x, y = torch.meshgrid(torch.arange(width, device=like.device).float(),
                              torch.arange(height, device=like.device).float(), indexing='ij')
        x, y = x.flatten()[:, None] * omega, y.flatten()[:, None] * omega
        return torch.cat((x.sin(), x.cos(), y.sin(), y.cos()), 1)[None].to(like)

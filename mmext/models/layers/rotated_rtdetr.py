"""Body of RT-DETR (arXiv 2304.08069) as O2-RTDETR uses it: ResNet-vd and the hybrid encoder.

Shapes: B images, C channels, maps from fine to coarse.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_conv_layer, build_norm_layer
from mmdet.models.backbones import ResNetV1d
from mmdet.models.layers import DetrTransformerEncoder
from torch import Tensor, nn

_BN = dict(type='BN', requires_grad=True)


class ResNetVD(ResNetV1d):
    """mmdet's ResNetV1d with a projection in the first block also where widths agree (R18, R34)."""

    def make_res_layer(self, **kwargs: Any) -> nn.Module:
        """A stage; see mmdet's."""
        layer = super().make_res_layer(**kwargs)
        first = layer[0]
        if first.downsample is None:
            planes = kwargs['planes'] * kwargs['block'].expansion
            first.downsample = nn.Sequential(
                nn.Identity(),
                build_conv_layer(kwargs.get('conv_cfg'), kwargs['inplanes'], planes, 1, bias=False),
                build_norm_layer(kwargs['norm_cfg'], planes)[1])
        return layer


class RepVGGBlock(nn.Module):
    """BN(3x3) + BN(1x1), then SiLU."""

    def __init__(self, channels: int, norm_cfg: dict[str, Any]) -> None:
        super().__init__()
        self.rbr_dense = ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=None)
        self.rbr_1x1 = ConvModule(channels, channels, 1, norm_cfg=norm_cfg, act_cfg=None)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape."""
        return F.silu(self.rbr_dense(x) + self.rbr_1x1(x))


class CSPRepLayer(nn.Module):
    """Two 1x1 branches, one with RepVGG blocks, and their sum."""

    def __init__(self, in_channels: int, out_channels: int, expansion: float, norm_cfg: dict[str, Any],
                 num_blocks: int = 3) -> None:
        super().__init__()
        hidden = int(out_channels * expansion)
        conv = dict(kernel_size=1, norm_cfg=norm_cfg, act_cfg=dict(type='SiLU', inplace=True))
        self.main_conv = ConvModule(in_channels, hidden, **conv)
        self.short_conv = ConvModule(in_channels, hidden, **conv)
        self.blocks = nn.Sequential(*(RepVGGBlock(hidden, norm_cfg) for _ in range(num_blocks)))
        self.final_conv = (nn.Identity() if hidden == out_channels else
                           ConvModule(hidden, out_channels, **conv))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, in, H, W)`` to ``(B, out, H, W)``."""
        return self.final_conv(self.blocks(self.main_conv(x)) + self.short_conv(x))


class RTDETRFPN(nn.Module):
    """Top-down, then bottom-up fusion.

    Args:
        in_channels: Of the maps, all equal to ``out_channels``.
        out_channels: C.
        expansion: Width of the CSP layers' branches by C.
        norm_cfg: Of all convolutions.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, expansion: float = 1.,
                 norm_cfg: dict[str, Any] = _BN) -> None:
        super().__init__()
        if set(in_channels) != {out_channels}:
            raise ValueError(f'in_channels={list(in_channels)}: expected {out_channels} for every map')
        silu = dict(norm_cfg=norm_cfg, act_cfg=dict(type='SiLU', inplace=True))
        steps = range(len(in_channels) - 1)
        self.reduce_layers = nn.ModuleList(ConvModule(out_channels, out_channels, 1, **silu) for _ in steps)
        self.top_down_blocks = nn.ModuleList(
            CSPRepLayer(2 * out_channels, out_channels, expansion, norm_cfg) for _ in steps)
        self.downsamples = nn.ModuleList(
            ConvModule(out_channels, out_channels, 3, stride=2, padding=1, **silu) for _ in steps)
        self.bottom_up_blocks = nn.ModuleList(
            CSPRepLayer(2 * out_channels, out_channels, expansion, norm_cfg) for _ in steps)
        self.out_convs = nn.ModuleList(
            ConvModule(out_channels, out_channels, 1, norm_cfg=norm_cfg, act_cfg=None) for _ in in_channels)

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
        fpn_cfg: Arguments of :class:`RTDETRFPN`.
        use_encoder_idx: Maps with attention.
        num_encoder_layers: Of each of them.
        temperature: Of the position encoding.
    """

    def __init__(self, in_channels: Sequence[int], layer_cfg: dict[str, Any], fpn_cfg: dict[str, Any],
                 use_encoder_idx: Sequence[int] = (-1, ), num_encoder_layers: int = 1,
                 temperature: float = 10000.) -> None:
        super().__init__()
        self.embed_dims = layer_cfg['self_attn_cfg']['embed_dims']
        self.levels = [index % len(in_channels) for index in use_encoder_idx]
        self.temperature = temperature
        self.transformer_blocks = nn.ModuleList(
            DetrTransformerEncoder(num_layers=num_encoder_layers, layer_cfg=dict(layer_cfg))
            for _ in self.levels)
        self.fpn = RTDETRFPN(**fpn_cfg)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps ``(B, C, H, W)`` to the same shapes."""
        maps = list(maps)
        for index, block in zip(self.levels, self.transformer_blocks):
            tokens = maps[index].flatten(2).transpose(1, 2)
            position = self._position(maps[index].shape[-2], maps[index].shape[-1], tokens)
            tokens = block(query=tokens, query_pos=position, key_padding_mask=None)
            maps[index] = tokens.transpose(1, 2).unflatten(-1, maps[index].shape[-2:])
        return self.fpn(maps)

    def _position(self, height: int, width: int, like: Tensor) -> Tensor:
        """``(1, H W, C)``; columns come first, unlike in the tokens, as in the published models."""
        count = self.embed_dims // 4
        steps = torch.arange(count, dtype=torch.float32, device=like.device) / count
        omega = 1 / self.temperature**steps
        x, y = torch.meshgrid(torch.arange(width, device=like.device).float(),
                              torch.arange(height, device=like.device).float(), indexing='ij')
        x, y = x.flatten()[:, None] * omega, y.flatten()[:, None] * omega
        return torch.cat((x.sin(), x.cos(), y.sin(), y.cos()), 1)[None].to(like)

"""The networks of MGD: dilated ResNets (also wide ones), a dilated MobileNetV2, the DeepLabV3+ head of CPS.

Shapes: B images, C channels, h x w pixels of a map.
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmpretrain.models.backbones import ResNet
from mmseg.models.backbones import MobileNetV2
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmext.registry import MODELS

_BN = dict(type='BN')


@MODELS.register_module()
class MultiGridResNet(ResNet):
    """mmpretrain's ResNet whose last stage keeps the stride and dilates ever more.

    All 3x3 convolutions of block i of the last stage have dilation ``2 ** (i + 1)``, with two
    in a BasicBlock both of them. ``base_channels=128, expansion=2`` makes the wide networks.

    Args:
        depth: 18, 34, 50, 101 or 152.
        out_indices: Stages to return.
        **kwargs: As for ``mmpretrain.ResNet``.

    Example:
        >>> student = dict(type='mmext.MultiGridResNet', depth=18, deep_stem=True)
        >>> wide = dict(type='mmext.MultiGridResNet', depth=50, base_channels=128, expansion=2)
    """

    def __init__(self, depth: int, out_indices: tuple[int, ...] = (0, 1, 2, 3), **kwargs: Any) -> None:
        super().__init__(depth, strides=(1, 2, 2, 1), out_indices=out_indices, **kwargs)
        _dilate(self.layer4)


@MODELS.register_module()
class MultiGridMobileNetV2(MobileNetV2):
    """mmseg's MobileNetV2 whose last three blocks dilate by 2, 4 and 8; the stride stays 32.

    Args:
        out_indices: Stages to return.
        **kwargs: As for ``mmseg.MobileNetV2``.

    Example:
        >>> student = dict(type='mmext.MultiGridMobileNetV2', out_indices=(1, 6))
    """

    def __init__(self, out_indices: tuple[int, ...] = (1, 6), **kwargs: Any) -> None:
        super().__init__(out_indices=out_indices, **kwargs)
        _dilate([*self.layer6, *self.layer7][-3:])


def _dilate(blocks: Iterable[nn.Module]) -> None:
    """Give all 3x3 convolutions of block i the dilation ``2 ** (i + 1)``, in place."""
    for index, block in enumerate(blocks):
        for conv in block.modules():
            if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3):
                conv.dilation = conv.padding = (2**(index + 1), 2**(index + 1))


class CPSASPP(nn.Module):
    """Atrous pyramid with one norm over all branches; the image's mean is added, not concatenated.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        dilation_rates: Dilations of the three 3x3 convolutions.
        hidden_channels: Channels of each branch.
        norm_cfg: Config of the norms.
    """

    def __init__(self, in_channels: int, out_channels: int, dilation_rates: tuple[int, ...] = (6, 12, 18),
                 hidden_channels: int = 256, norm_cfg: dict | None = None) -> None:
        super().__init__()
        norm = norm_cfg or _BN

        def conv(inside: int, outside: int, size: int = 1, dilation: int = 1) -> nn.Conv2d:
            return nn.Conv2d(inside, outside, size, dilation=dilation, bias=False,
                             padding=dilation * (size // 2))

        self.map_convs = nn.ModuleList([conv(in_channels, hidden_channels)])
        self.map_convs += [conv(in_channels, hidden_channels, 3, rate) for rate in dilation_rates]
        self.map_bn = build_norm_layer(norm, len(self.map_convs) * hidden_channels)[1]
        self.global_pooling_conv = conv(in_channels, hidden_channels)
        self.global_pooling_bn = build_norm_layer(norm, hidden_channels)[1]
        self.red_conv = conv(len(self.map_convs) * hidden_channels, out_channels)
        self.pool_red_conv = conv(hidden_channels, out_channels)
        self.red_bn = build_norm_layer(norm, out_channels)[1]

    def forward(self, x: Tensor) -> Tensor:
        """``(B, in_channels, h, w)`` to ``(B, out_channels, h, w)``."""
        maps = self.map_bn(torch.cat([conv(x) for conv in self.map_convs], dim=1))
        pooled = self.global_pooling_bn(self.global_pooling_conv(x.mean(dim=(2, 3), keepdim=True)))
        out = self.red_conv(F.leaky_relu(maps, 0.01)) + self.pool_red_conv(F.leaky_relu(pooled, 0.01))
        return F.leaky_relu(self.red_bn(out), 0.01)


@MODELS.register_module()
class CPSDeepLabHead(BaseDecodeHead):
    """DeepLabV3+ head as in Cross Pseudo Supervision and MGD, for mmseg.

    Differs from mmseg's ``DepthwiseSeparableASPPHead``: plain convolutions, the pyramid of
    :class:`CPSASPP`, ``align_corners`` everywhere, no dropout.

    Args:
        in_channels: Channels of the stride-4 map and of the last map.
        in_index: Which of the backbone's maps they are.
        channels: Channels of the head's feature, the output of ``last_conv``.
        low_channels: Channels to which the stride-4 map is reduced.
        dilation_rates: Of the pyramid.
        num_classes: Number of classes.
        **kwargs: As for every mmseg decode head.

    Example:
        >>> head = dict(type='mmext.CPSDeepLabHead', in_channels=[256, 2048], num_classes=21)
    """

    def __init__(self, in_channels: tuple[int, int] | list[int], *, num_classes: int,
                 in_index: tuple[int, int] | list[int] = (0, 3), channels: int = 256, low_channels: int = 48,
                 dilation_rates: tuple[int, ...] = (6, 12, 18), **kwargs: Any) -> None:
        settings: dict[str, Any] = dict(
            norm_cfg=_BN, align_corners=True, dropout_ratio=0.0,
            loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True))
        settings.update(kwargs)
        super().__init__(list(in_channels), channels, num_classes=num_classes, in_index=list(in_index),
                         input_transform='multiple_select', **settings)
        low, high = in_channels
        self.aspp = CPSASPP(high, channels, tuple(dilation_rates), channels, self.norm_cfg)
        self.reduce = self._stack(low, low_channels, size=1)
        self.last_conv = nn.Sequential(*self._stack(channels + low_channels, channels, size=3),
                                       *self._stack(channels, channels, size=3))

    def _stack(self, inside: int, outside: int, size: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inside, outside, size, padding=size // 2, bias=False),
            build_norm_layer(self.norm_cfg, outside)[1], nn.ReLU())

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Logits ``(B, num_classes, h, w)`` at stride 4 from the backbone's maps."""
        low, high = self._transform_inputs(inputs)
        high = F.interpolate(self.aspp(high), size=low.shape[-2:], mode='bilinear', align_corners=True)
        return self.cls_seg(self.last_conv(torch.cat([high, self.reduce(low)], dim=1)))

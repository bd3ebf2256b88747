"""Backbones with non-local blocks, over mmpretrain's VGG and Inception v3."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmpretrain.models.backbones import VGG, InceptionV3
from torch import Tensor, nn

from mmext.errors import UserError
from mmext.registry import MODELS

_VGG_CHANNELS = (64, 128, 256, 512, 512)
_INCEPTION_BLOCKS = {'nonlocal_4': 192, 'nonlocal_5': 288, 'nonlocal_6': 768}
_INCEPTION_UNUSED = ('AuxLogits', 'Mixed_7a', 'Mixed_7b', 'Mixed_7c', 'avgpool', 'dropout', 'fc')


class NonLocalBlock(nn.Module):
    """Every position plus a mixture of all positions, weighted by the softmax of query times key.

    It starts as the identity: scale and shift of its norm are zero. Names are the authors' (``Self_Attn``).

    Args:
        channels: C, a multiple of 8 or at least 8.

    Raises:
        UserError: If there are fewer than 8 channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 8:
            raise UserError(f'NonLocalBlock: channels={channels}: queries have an eighth of them; give at '
                            'least 8')
        self.query_conv = nn.Conv2d(channels, channels // 8, 1)
        self.key_conv = nn.Conv2d(channels, channels // 8, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.mix_conv = nn.Conv2d(channels, channels, 1)
        self.bn = nn.BatchNorm2d(channels)
        self.reset_norm()

    def reset_norm(self) -> None:
        """Make the block the identity."""
        nn.init.zeros_(self.bn.weight)
        nn.init.zeros_(self.bn.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape."""
        query, key = self.query_conv(x).flatten(2), self.key_conv(x).flatten(2)
        value = self.value_conv(x).flatten(2)
        attention = torch.bmm(query.transpose(1, 2), key).softmax(-1)
        mixed = torch.bmm(value, attention.transpose(1, 2)).view_as(x)
        return self.bn(self.mix_conv(mixed)) + x


@MODELS.register_module()
class NonLocalVGG16(VGG):
    """mmpretrain's VGG-16 with LeakyReLU, non-local blocks and stride 16.

    Weights of mmpretrain's (or, through its converter, torchvision's) VGG-16 load as they are.

    Args:
        non_local_stages: Stages, from 0, with a block behind them: ``(1, 2, 3, 4)`` on CUB-200-2011,
            ``(2, 3, 4)`` on ImageNet.
        extra_channels: Width of two more 3 x 3 convolutions at the end (1024 on ImageNet); None: without.
        frozen_stages: Stages that are not trained; -1: none.
        norm_eval: Keep the norms of the blocks in eval mode.
        init_cfg: As for every mmengine module.

    Raises:
        UserError: On a stage that VGG does not have.

    Example:
        >>> backbone = NonLocalVGG16()
        >>> backbone(torch.rand(1, 3, 224, 224))[0].shape
        torch.Size([1, 512, 14, 14])
    """

    def __init__(self, non_local_stages: Sequence[int] = (1, 2, 3, 4), extra_channels: int | None = None,
                 frozen_stages: int = -1, norm_eval: bool = False, init_cfg: Any = None) -> None:
        unknown = [stage for stage in non_local_stages if stage not in range(5)]
        if unknown:
            raise UserError(f'NonLocalVGG16: non_local_stages={tuple(non_local_stages)}: stages are 0 to 4')
        act = dict(type='LeakyReLU', negative_slope=0.2)
        given = {} if init_cfg is None else dict(init_cfg=init_cfg)
        super().__init__(16, out_indices=(4, ), frozen_stages=frozen_stages, norm_eval=norm_eval, act_cfg=act,
                         with_last_pool=False, **given)
        self.non_local = nn.ModuleDict({str(stage): NonLocalBlock(_VGG_CHANNELS[stage])
                                        for stage in sorted(non_local_stages)})
        self.extra = nn.Sequential()
        if extra_channels is not None:
            self.extra.extend([ConvModule(512, extra_channels, 3, padding=1, act_cfg=act),
                               ConvModule(extra_channels, extra_channels, 3, padding=1, act_cfg=act)])
        self.out_channels = [extra_channels or 512]

    def init_weights(self) -> None:
        """VGG's initialisation, or its weights; the blocks start as the identity."""
        super().init_weights()
        if not self.init_cfg or 'Pretrained' not in str(self.init_cfg):
            for block in self.non_local.children():
                assert isinstance(block, NonLocalBlock)
                block.reset_norm()

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """``(B, 3, H, W)`` to ``(B, C, H/16, W/16)``, in a tuple."""
        layers: nn.Sequential = getattr(self, self.module_name)
        for stage, (begin, end) in enumerate(self.range_sub_modules):
            x = layers[begin:end](x)
            if str(stage) in self.non_local:
                x = self.non_local[str(stage)](x)
        return (self.extra(x), )


@MODELS.register_module()
class NonLocalInceptionV3(InceptionV3):
    """mmpretrain's Inception v3 up to ``Mixed_6e`` (stride 16), with three non-local blocks.

    Args:
        init_cfg: As for every mmengine module; weights of mmpretrain's Inception v3 load as they are.

    Example:
        >>> NonLocalInceptionV3()(torch.rand(1, 3, 299, 299))[0].shape
        torch.Size([1, 768, 17, 17])
    """

    def __init__(self, init_cfg: Any = None) -> None:
        given = {} if init_cfg is None else dict(init_cfg=init_cfg)
        super().__init__(**given)
        for name in _INCEPTION_UNUSED:
            delattr(self, name)
        for name, channels in _INCEPTION_BLOCKS.items():
            setattr(self, name, NonLocalBlock(channels))
        self.out_channels = [768]

    def init_weights(self) -> None:
        """Inception's initialisation, or its weights; the blocks start as the identity."""
        super().init_weights()
        if not self.init_cfg or 'Pretrained' not in str(self.init_cfg):
            for name in _INCEPTION_BLOCKS:
                getattr(self, name).reset_norm()

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """``(B, 3, H, W)`` to ``(B, 768, h, w)``, in a tuple; 299 x 299 gives 17 x 17."""
        x = self.maxpool1(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = self.nonlocal_4(self.maxpool2(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))))
        x = self.nonlocal_5(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        return (self.nonlocal_6(x), )

"""ResNet for images of 32 pixels with a free number of blocks in each stage.

Deep Residual Learning for Image Recognition (He et al., CVPR 2016), section 4.2: three stages of 16, 32
and 64 channels; depth 6n + 2 has n blocks in each. DisWOT searches the numbers of blocks.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmpretrain.models.backbones import ResNet_CIFAR
from mmpretrain.models.backbones.resnet import BasicBlock, Bottleneck

from mmext.registry import MODELS


@MODELS.register_module()
class CIFARResNet(ResNet_CIFAR):
    """mmpretrain's ``ResNet_CIFAR`` whose stages have as many blocks as one likes.

    Args:
        depths: Blocks of each stage; ResNet-20 is (3, 3, 3), ResNet-56 (9, 9, 9), ResNet-110 (18, 18, 18).
        base_channels: Of the stem and the first stage; each further stage has twice as many.
        bottleneck: Blocks of 1x1, 3x3, 1x1 convolutions with four times the channels at their ends.
        out_indices: Which stages' maps are returned; the last one's by default.
        kwargs: As for mmpretrain's ResNet.

    Raises:
        ValueError: If a stage has no block.

    Example:
        >>> CIFARResNet(depths=(3, 3, 3))(torch.rand(1, 3, 32, 32))[0].shape
        torch.Size([1, 64, 8, 8])
    """

    def __init__(self, depths: Sequence[int] = (3, 3, 3), base_channels: int = 16, bottleneck: bool = False,
                 out_indices: Sequence[int] | None = None, **kwargs: Any) -> None:
        if not 1 <= len(depths) <= 4 or any(not isinstance(one, int) or one < 1 for one in depths):
            raise ValueError(f'CIFARResNet: depths={depths}: expected 1 to 4 numbers of blocks, '
                             'each 1 or more')
        stages = len(depths)
        self.arch_settings = {stages: (Bottleneck if bottleneck else BasicBlock, tuple(depths))}
        super().__init__(
            depth=stages, num_stages=stages, stem_channels=base_channels, base_channels=base_channels,
            strides=(1, *(2, ) * (stages - 1)), dilations=(1, ) * stages,
            out_indices=(stages - 1, ) if out_indices is None else out_indices, **kwargs)

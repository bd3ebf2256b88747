"""ResNet without its skip connections."""
from __future__ import annotations

from typing import Any

from mmpretrain.models.backbones import ResNet
from mmpretrain.models.backbones.resnet import Bottleneck
from torch import Tensor

from mmext.registry import MODELS


class _PlainBottleneck(Bottleneck):
    """Three convolutions, nothing around them."""

    expansion = 4

    def __init__(self, *args: Any, downsample: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm1(self.conv1(x)))
        x = self.relu(self.norm2(self.conv2(x)))
        return self.relu(self.norm3(self.conv3(x)))


@MODELS.register_module()
class PlainResNet(ResNet):
    """mmpretrain's ResNet without skip connections and their convolutions.

    "Training the Untrainable" (Subramaniam et al., NeurIPS 2025) calls depth 50 Deep ConvNet.

    Args:
        depth: 50, 101 or 152.
        kwargs: As for mmpretrain's ResNet.

    Example:
        >>> PlainResNet(50)(torch.rand(1, 3, 64, 64))[0].shape
        torch.Size([1, 2048, 2, 2])
    """

    arch_settings = {depth: (_PlainBottleneck, stages) for depth, (block, stages) in
                     ResNet.arch_settings.items() if block is Bottleneck}

    def __init__(self, depth: int, **kwargs: Any) -> None:
        # Without a shortcut a last norm of zero would end every signal.
        super().__init__(depth, **{'zero_init_residual': False, **kwargs})

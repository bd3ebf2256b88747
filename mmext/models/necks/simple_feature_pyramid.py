"""The pyramid of a plain vision transformer (ViTDet, Li et al., ECCV 2022, section 3)."""
from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmext.errors import UserError
from mmext.registry import MODELS


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of a map."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Four maps of strides 4, 8, 16 and 32 from one map of stride 16, and one more of stride 64.

    A map of another scale is made by transposed convolutions or max pooling; then 1x1 and 3x3
    convolutions, each with a layer norm over channels.

    Args:
        in_channels: Channels of the map; a list of one is taken too.
        out_channels: Channels of every level.
        num_outs: 4, or 5 with the level of stride 64.
        init_cfg: As for every mmengine module.

    Raises:
        UserError: On several inputs or another ``num_outs``.

    Example:
        >>> neck = dict(type='mmext.SimpleFeaturePyramid', in_channels=384, out_channels=256)
    """

    def __init__(self, in_channels: int | Sequence[int], out_channels: int = 256, num_outs: int = 5,
                 init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(init_cfg)
        channels = [in_channels] if isinstance(in_channels, int) else list(in_channels)
        if len(channels) != 1:
            raise UserError(f'SimpleFeaturePyramid: in_channels={channels}, but it takes one map, of stride '
                            '16')
        if num_outs not in (4, 5):
            raise UserError(f'SimpleFeaturePyramid: num_outs={num_outs} is neither 4 nor 5')
        width, self.num_outs = channels[0], num_outs
        scales = (
            (nn.Sequential(nn.ConvTranspose2d(width, width // 2, 2, 2), _ChannelNorm(width // 2, eps=1e-6),
                           nn.GELU(), nn.ConvTranspose2d(width // 2, width // 4, 2, 2)), width // 4),
            (nn.ConvTranspose2d(width, width // 2, 2, 2), width // 2),
            (nn.Identity(), width),
            (nn.MaxPool2d(2), width))
        self.levels = nn.ModuleList(
            nn.Sequential(
                scale,
                nn.Conv2d(own, out_channels, 1, bias=False), _ChannelNorm(out_channels, eps=1e-6),
                nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                _ChannelNorm(out_channels, eps=1e-6))
            for scale, own in scales)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps ``(B, out_channels, h, w)``, the finest first, of the last of the inputs ``(B, C, H, W)``."""
        maps = [level(inputs[-1]) for level in self.levels]
        if self.num_outs == 5:
            maps.append(F.max_pool2d(maps[-1], 1, 2))
        return tuple(maps)

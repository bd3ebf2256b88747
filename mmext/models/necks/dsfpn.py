"""DS-FPN: a feature pyramid with a block of DS-Net on every level.

Paper: "Dual-stream Network for Visual Recognition" (arXiv 2105.14734, NeurIPS 2021). The paper says
that DS-FPN brings the block to every scale of a feature pyramid; it gives no formula, and there is
no code. **This is our reading**: the block works on the sum of a level and the one above it, before
that sum goes on to the level below, and the usual 3x3 convolution follows. Everything else is
mmdet's FPN.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn as nn
import torch.nn.functional as F
from mmdet.models.necks import FPN
from torch import Tensor

from ...errors import did_you_mean
from ...registry import MODELS
from ..backbones.base import run_blocks
from ..backbones.dsnet import DSBlock
from ..backbones.layers import keep_batch_norms

_BLOCK_FIELDS = ('num_heads', 'mlp_ratio', 'downsample', 'qk_scale', 'drop', 'attn_drop',
                 'drop_path', 'act_cfg', 'conv_ffn')


def _per_level(ds_cfg: dict[str, Any], inputs: int) -> list[dict[str, Any]]:
    """Arguments of the block of each input level; lists in ``ds_cfg`` have a value for each."""
    # Global streams of about 1/32 of the image, for maps of stride 4, 8, 16, 32.
    settings = {'num_heads': 8, 'downsample': [2**(inputs - 1 - i) for i in range(inputs)], **ds_cfg}
    for name, value in settings.items():
        if name not in _BLOCK_FIELDS:
            raise ValueError(f"unknown key of ds_cfg '{name}'{did_you_mean(name, _BLOCK_FIELDS)} "
                             f'Known: {", ".join(_BLOCK_FIELDS)}')
        if isinstance(value, list | tuple) and len(value) != inputs:
            raise ValueError(f"ds_cfg['{name}'] has {len(value)} values for {inputs} input levels")
    return [{name: value[i] if isinstance(value, list | tuple) else value
             for name, value in settings.items()} for i in range(inputs)]


@MODELS.register_module()
class DSFPN(FPN):
    """Feature pyramid ``P_l = DSBlock_l(lateral_l + up(P_{l+1}))``, then a 3x3 convolution each.

    Args:
        in_channels: Channels of each input map, finest first.
        out_channels: Channels of each output map, a multiple of twice ``num_heads``.
        num_outs: Number of outputs. Those above the last input come from pooling or convolutions
            with stride 2, as in FPN, and have no block.
        ds_cfg: Arguments of :class:`.DSBlock`, each one value or one for every *input* level (also
            those below ``start_level``): ``num_heads`` (8), ``mlp_ratio`` (4), ``downsample`` (8,
            4, 2, 1 for four levels, so that each global stream is about 1/32 of the image),
            ``attn_drop`` (0.1, as in the backbone), ``conv_ffn``, ...
        norm_eval: Keep batch norms in evaluation mode while training.
        with_cp: Recompute each block in the backward pass to save memory.
        **kwargs: Arguments of mmdet's ``FPN``: ``start_level``, ``end_level``, ``add_extra_convs``,
            ``relu_before_extra_convs``, ``no_norm_on_lateral``, ``norm_cfg``, ``upsample_cfg``, ...

    Raises:
        ValueError: If ``ds_cfg`` has an unknown key or a list of another length, or the channels
            cannot be divided into two streams of heads.

    Example:
        >>> neck = DSFPN([64, 128, 320, 512], 256, num_outs=5)
        >>> maps = [torch.rand(1, c, 64 // 2**i, 64 // 2**i) for i, c in enumerate(neck.in_channels)]
        >>> [tuple(x.shape) for x in neck(maps)][-1]
        (1, 256, 4, 4)
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 out_channels: int,
                 num_outs: int,
                 ds_cfg: dict[str, Any] | None = None,
                 norm_eval: bool = False,
                 with_cp: bool = False,
                 **kwargs: Any) -> None:
        super().__init__(list(in_channels), out_channels, num_outs, **kwargs)
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        self.ds_blocks = nn.ModuleList()
        levels = _per_level(ds_cfg or {}, self.num_ins)
        for i in range(self.start_level, self.backbone_end_level):
            try:
                self.ds_blocks.append(DSBlock(out_channels, **levels[i]))
            except ValueError as error:
                raise ValueError(f'DSFPN, level {i}: {error}') from None

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Compute the pyramid.

        Args:
            inputs: Maps ``(B, in_channels[i], H_i, W_i)``, finest first.

        Returns:
            ``num_outs`` maps with ``out_channels`` channels, the first of the size of input
            ``start_level``.
        """
        levels = [conv(inputs[i + self.start_level]) for i, conv in enumerate(self.lateral_convs)]
        for i in reversed(range(len(levels))):
            if i + 1 < len(levels):
                levels[i] = levels[i] + self._upsample(levels[i + 1], levels[i])
            levels[i] = run_blocks((self.ds_blocks[i], ), levels[i], self.with_cp)
        outs = [conv(x) for conv, x in zip(self.fpn_convs, levels)]
        if not self.add_extra_convs:
            while len(outs) < self.num_outs:
                outs.append(F.max_pool2d(outs[-1], 1, stride=2))
            return tuple(x.contiguous() for x in outs)
        sources = dict(on_input=inputs[self.backbone_end_level - 1], on_lateral=levels[-1],
                       on_output=outs[-1])
        x = sources[self.add_extra_convs]
        for i, conv in enumerate(self.fpn_convs[len(levels):]):
            x = conv(F.relu(x) if i > 0 and self.relu_before_extra_convs else x)
            outs.append(x)
        return tuple(x.contiguous() for x in outs)

    def _upsample(self, x: Tensor, like: Tensor) -> Tensor:
        if 'scale_factor' in self.upsample_cfg:
            return F.interpolate(x, **self.upsample_cfg)
        return F.interpolate(x, size=like.shape[2:], **self.upsample_cfg)

    def train(self, mode: bool = True) -> DSFPN:
        """Set the mode; with ``norm_eval``, batch norms stay in evaluation."""
        super().train(mode)
        if mode and self.norm_eval:
            keep_batch_norms(self)
        return self

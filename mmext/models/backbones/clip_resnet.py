"""CLIP's image encoders of the ResNet family, as maps for dense prediction.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021;
used by LMSeg (arXiv 2302.13495). It differs from torchvision's ResNet in the stem of three
convolutions with an average pool, in strides that are average pools (in a block and in its
shortcut), and in an attention pool at the end. Parameters have CLIP's names: ``visual.*`` of its
files loads as it is.

Shapes: B images, H x W pixels of a map, C channels.
"""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from ...registry import MODELS
from .base import Backbone, run_blocks

#: Blocks of the four stages by depth.
DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
_EXPANSION = 4
_POOL_HEADS = 32


class CLIPBottleneck(nn.Module):
    """Bottleneck whose stride is an average pool after the 3x3 convolution.

    Args:
        in_channels: Of the input.
        channels: Inside; the output has four times as many.
        stride: 1 or 2.
        norm_cfg: Of all norms.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, norm_cfg: dict) -> None:
        super().__init__()
        out_channels = channels * _EXPANSION
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = build_norm_layer(norm_cfg, channels)[1]
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = build_norm_layer(norm_cfg, channels)[1]
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = build_norm_layer(norm_cfg, out_channels)[1]
        self.stride = stride
        self.downsample: nn.Sequential | None = None
        if stride > 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                build_norm_layer(norm_cfg, out_channels)[1])

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W) -> (B, 4 * channels, H // stride, W // stride)``."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        if self.stride > 1:
            y, x = F.avg_pool2d(y, self.stride), F.avg_pool2d(x, self.stride)
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


class AttentionPool(nn.Module):
    """CLIP's pooling: attention among the mean and all places of a map.

    Args:
        channels: Of the map.
        out_channels: Of the result.
        size: Side of the map that the learned positions are for; others are interpolated.
    """

    def __init__(self, channels: int, out_channels: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.positional_embedding = nn.Parameter(torch.randn(size * size + 1, channels) / channels**0.5)
        self.q_proj = nn.Linear(channels, channels)
        self.k_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.c_proj = nn.Linear(channels, out_channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The vector ``(B, out_channels)`` and the map ``(B, out_channels, H, W)`` of ``(B, C, H, W)``."""
        channels, height, width = x.shape[1:]
        first, grid = self.positional_embedding[:1], self.positional_embedding[1:]
        grid = grid.t().reshape(1, channels, self.size, self.size)
        grid = F.interpolate(grid, size=(height, width), mode='bilinear', align_corners=False)
        tokens = x.flatten(2).transpose(1, 2)
        tokens = torch.cat((tokens.mean(dim=1, keepdim=True), tokens), dim=1)
        tokens = tokens + torch.cat((first, grid[0].flatten(1).t()))
        q, k, v = (layer(tokens).unflatten(2, (_POOL_HEADS, -1)).transpose(1, 2)
                   for layer in (self.q_proj, self.k_proj, self.v_proj))
        y = self.c_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return y[:, 0], y[:, 1:].transpose(1, 2).unflatten(2, (height, width))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Take positions that were learned for another size."""
        key = f'{prefix}positional_embedding'
        learned = state_dict.get(key)
        if learned is not None and learned.shape[0] != self.size**2 + 1:
            side = int((len(learned) - 1)**0.5)
            grid = learned[1:].t().reshape(1, -1, side, side).float()
            grid = F.interpolate(grid, size=(self.size, self.size), mode='bilinear', align_corners=False)
            state_dict[key] = torch.cat((learned[:1], grid[0].flatten(1).t().to(learned)))
        super()._load_from_state_dict(state_dict, prefix, *args)


@MODELS.register_module()
class CLIPResNet(Backbone):
    """The ResNet of CLIP.

    Args:
        depth: 50, 101, or the blocks of the four stages.
        in_channels: Channels of an image.
        base_channels: Width w; the maps have 4w, 8w, 16w and 32w channels.
        out_indices: Which of the four maps (strides 4, 8, 16, 32) are returned.
        frozen_stages: Freeze the stem and this many stages; -1 freezes nothing.
        norm_cfg: By default batch norms that are not trained, as in LMSeg.
        norm_eval: Keep batch norms in evaluation mode while training.
        with_cp: Compute blocks again in the backward pass, to save memory.
        attention_pool: ``dict(out_channels=..., size=...)`` builds CLIP's pool, which no map needs
            (:meth:`pool` calls it); ``size`` is the side of the last map that its positions are for.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` takes the state dict of CLIP (its
            ``visual.*``) or of this backbone.

    Raises:
        ValueError: If ``depth``, ``out_indices`` or ``frozen_stages`` is none of those.

    Example:
        >>> maps = CLIPResNet(50)(torch.rand(1, 3, 64, 64))
        >>> [tuple(one.shape[1:]) for one in maps]
        [(256, 16, 16), (512, 8, 8), (1024, 4, 4), (2048, 2, 2)]
    """

    stage_pattern = r'(?:conv1|layer\d)\.'
    block_pattern = r'layer(\d)\.(\d+)\.bn3\.weight'
    min_size = 31

    def __init__(self,
                 depth: int | Sequence[int] = 50,
                 in_channels: int = 3,
                 base_channels: int = 64,
                 out_indices: Sequence[int] = (0, 1, 2, 3),
                 frozen_stages: int = -1,
                 norm_cfg: dict | None = None,
                 norm_eval: bool = True,
                 with_cp: bool = False,
                 attention_pool: dict | None = None,
                 init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(out_indices, 4, 4, frozen_stages, norm_eval, init_cfg)
        if isinstance(depth, int):
            if depth not in DEPTHS:
                raise ValueError(f'depth={depth}: expected {" or ".join(map(str, DEPTHS))}, or the blocks of '
                                 'four stages')
            depth = DEPTHS[depth]
        if len(depth) != 4 or min(depth) < 1:
            raise ValueError(f'depth={tuple(depth)}: expected the blocks of four stages, 1 or more each')
        norm = dict(norm_cfg or dict(type='BN', requires_grad=False))
        self.with_cp = with_cp
        half = base_channels // 2
        self.conv1 = nn.Conv2d(in_channels, half, 3, stride=2, padding=1, bias=False)
        self.bn1 = build_norm_layer(norm, half)[1]
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.bn2 = build_norm_layer(norm, half)[1]
        self.conv3 = nn.Conv2d(half, base_channels, 3, padding=1, bias=False)
        self.bn3 = build_norm_layer(norm, base_channels)[1]
        channels = base_channels
        for stage, blocks in enumerate(depth):
            width = base_channels * 2**stage
            layers = []
            for block in range(blocks):
                layers.append(CLIPBottleneck(channels, width, 2 if stage and not block else 1, norm))
                channels = width * _EXPANSION
            self.add_module(f'layer{stage + 1}', nn.Sequential(*layers))
        self.out_channels = tuple(base_channels * _EXPANSION * 2**i for i in self.out_indices)
        self.attnpool = None if attention_pool is None else AttentionPool(channels, **attention_pool)
        self._freeze()

    @property
    def stages(self) -> list[nn.Sequential]:
        """The four stages."""
        return [getattr(self, f'layer{stage}') for stage in range(1, 5)]

    def _frozen_modules(self) -> Iterable[nn.Module]:
        if self.frozen_stages < 0:
            return []
        stem = [self.conv1, self.bn1, self.conv2, self.bn2, self.conv3, self.bn3]
        return [*stem, *self.stages[:self.frozen_stages]]

    def _unwrap(self, state: dict[str, Any]) -> None:
        """Leave the image encoder alone in a whole CLIP."""
        super()._unwrap(state)
        if any(key.startswith('visual.') for key in state):
            visual = {key.removeprefix('visual.'): value for key, value in state.items()
                      if key.startswith('visual.')}
            state.clear()
            state.update(visual)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps by ``out_indices`` of images ``(B, in_channels, H, W)``."""
        x = self._prepared(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        x = F.avg_pool2d(F.relu(self.bn3(self.conv3(x)), inplace=True), 2)
        maps = []
        for index, stage in enumerate(self.stages):
            if index > max(self.out_indices):
                break
            x = run_blocks(stage, x, self.with_cp and self.training)
            if index in self.out_indices:
                maps.append(x.contiguous())
        return tuple(maps)

    def pool(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """CLIP's vector and map of the last stage's map ``(B, 32w, H, W)``.

        Raises:
            ValueError: If the backbone was built without ``attention_pool``.
        """
        if self.attnpool is None:
            raise ValueError('CLIPResNet has no pool: build it with attention_pool=dict(...)')
        return self.attnpool(x)

"""DS-Net: backbone of blocks that keep a local and a global stream of different resolution.

Paper: "Dual-stream Network for Visual Recognition" (arXiv 2105.14734, NeurIPS 2021).
The authors published no code. This follows two independent implementations whose layers, parameter
names and parameter counts agree with each other and with the paper:
https://github.com/SteveTsui/DS-Net (commit c54585e, Apache-2.0) and DSNet of
https://github.com/PaddlePaddle/PaddleClas (Apache-2.0; the options ``overlap_embed`` and
``conv_ffn`` come from there). Both are called official here.

Differences from that code, none of them numerical: attention weights are never stored, the packed
projections are views, any image size is taken, and a map smaller than ``downsample`` keeps one
global token. Parameter names are the official ones, so official files load as they are.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn as nn
from mmcv.cnn import build_norm_layer
from torch import Tensor

from ....errors import did_you_mean
from ....registry import MODELS
from ..base import Backbone, run_blocks
from .block import DSBlock

_COMMON: dict[str, Any] = dict(
    embed_dim=(64, 128, 320, 512), num_heads=(1, 2, 5, 8), mlp_ratio=4., downsamples=(8, 4, 2, 2))
#: Published sizes.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    'T': dict(_COMMON, depth=(2, 2, 4, 1)),
    'S': dict(_COMMON, depth=(3, 4, 8, 3)),
    'B': dict(_COMMON, depth=(3, 4, 28, 3)),
}
_ALIASES = {'tiny': 'T', 'small': 'S', 'base': 'B'}


def _resolve(arch: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The sizes of ``arch``, those of ``fields`` that are not None in their place."""
    known = _ALIASES.get(arch, arch)
    if known not in ARCHITECTURES:
        names = (*ARCHITECTURES, *_ALIASES)
        raise ValueError(f"unknown architecture '{arch}', expected one of {', '.join(names)}"
                         f'{did_you_mean(arch, names)}')
    sizes = {**ARCHITECTURES[known], **{k: v for k, v in fields.items() if v is not None}}
    stages = len(sizes['embed_dim'])
    for name, value in sizes.items():
        if isinstance(value, int | float):
            sizes[name] = (value, ) * stages
        elif len(value) != stages:
            raise ValueError(f'{name}={tuple(value)} has {len(value)} values, embed_dim has {stages}'
                             ': one for each stage is needed')
    return sizes


class PatchEmbed(nn.Module):
    """One convolution that divides both sides by ``stride``; ``(B, C, H, W)`` to a smaller map.

    Args:
        in_channels: C.
        embed_dim: Channels of the map.
        stride: Side of a patch.
        overlap: Patches overlap: the kernel is one less than twice the stride, and padded.
    """

    def __init__(self, in_channels: int, embed_dim: int, stride: int, overlap: bool) -> None:
        super().__init__()
        kernel = 2 * stride - 1 if overlap else stride
        self.proj = nn.Conv2d(in_channels, embed_dim, kernel, stride, kernel // 2 if overlap else 0)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


@MODELS.register_module()
class DSNet(Backbone):
    """DS-Net backbone (paper, Fig. 3 and Table 1).

    Args:
        arch: 'T', 'S' or 'B' (also 'tiny', 'small', 'base'). The next five arguments replace its
            sizes one by one.
        embed_dim: Channels of each stage.
        depth: Blocks of each stage.
        num_heads: Heads of each stage; twice as many must divide its channels.
        mlp_ratio: Hidden channels of the MLPs over the stage's, one value or one a stage.
        downsamples: Resolution of the local stream over that of the global one, in each stage.
        in_chans: Channels of the image.
        out_indices: Which stages to return, from 0; strides are 4, 8, 16, 32. Stages after the
            last of them are not built. Channels are in :attr:`out_channels`.
        out_norm: Norm of each returned map, a name or a config; None for none. That of the last stage is the
            classifier's of official files; the others have no counterpart there and start anew.
        overlap_embed: Overlapping patch embeddings.
        conv_ffn: Depth-wise 3x3 convolutions inside the MLPs.
        qk_scale: Factor of the attention scores; by default the head's channels ``** -0.5``.
        drop_rate: Dropout after the first patch embedding, in MLPs and of what is attended to.
        attn_drop: Dropout of the attention weights; the official code has 0.1, always.
        drop_path_rate: Stochastic depth. Published: 0.1.
        drop_path_mode: 'official' starts every stage from 0, because the official code counts
            blocks anew in each; 'global' rises linearly from the first block to the last.
        frozen_stages: Freeze the patch embeddings, blocks and output norms of this many stages; 0
            freezes the first patch embedding, -1 nothing.
        norm_eval: Keep batch norms in evaluation mode while training.
        with_cp: Recompute each block in the backward pass to save memory.
        init_cfg: As for any :class:`BaseModule`; ``dict(type='Pretrained', checkpoint=...)`` takes
            official files as well as converted ones.

    Raises:
        ValueError: If an argument is none of the above; from :meth:`forward` if the image is
            smaller than one pixel of the last map.
        UserError: On loading weights of another variant.

    Example:
        >>> backbone = DSNet('T')
        >>> [tuple(x.shape) for x in backbone(torch.rand(1, 3, 64, 96))]
        [(1, 64, 16, 24), (1, 128, 8, 12), (1, 320, 4, 6), (1, 512, 2, 3)]
    """

    stage_pattern = r'(blocks|patch_embed)\d+\.'
    block_pattern = r'blocks(\d+)\.(\d+)\.norm1\.weight'

    def __init__(self,
                 arch: str = 'T',
                 embed_dim: Sequence[int] | None = None,
                 depth: Sequence[int] | None = None,
                 num_heads: int | Sequence[int] | None = None,
                 mlp_ratio: float | Sequence[float] | None = None,
                 downsamples: int | Sequence[int] | None = None,
                 in_chans: int = 3,
                 out_indices: Sequence[int] = (0, 1, 2, 3),
                 out_norm: str | dict[str, Any] | None = 'BN',
                 overlap_embed: bool = False,
                 conv_ffn: bool = False,
                 qk_scale: float | None = None,
                 drop_rate: float = 0.,
                 attn_drop: float = 0.1,
                 drop_path_rate: float = 0.,
                 drop_path_mode: Literal['official', 'global'] = 'official',
                 frozen_stages: int = -1,
                 norm_eval: bool = False,
                 with_cp: bool = False,
                 init_cfg: dict | list[dict] | None = None) -> None:
        sizes = _resolve(arch, dict(embed_dim=embed_dim, depth=depth, num_heads=num_heads,
                                    mlp_ratio=mlp_ratio, downsamples=downsamples))
        dims, depths = sizes['embed_dim'], sizes['depth']
        super().__init__(out_indices, len(dims), len(dims), frozen_stages, norm_eval, init_cfg)
        if drop_path_mode not in ('official', 'global'):
            raise ValueError(f"drop_path_mode='{drop_path_mode}': expected 'official' or 'global'")
        self.with_cp = with_cp
        #: Stages that are built.
        self.num_stages = max(self.out_indices) + 1
        #: Channels of each returned map.
        self.out_channels = tuple(dims[i] for i in self.out_indices)

        self.pos_drop = nn.Dropout(drop_rate)
        rates = torch.linspace(0, drop_path_rate, sum(depths), device='cpu').tolist()
        channels = [in_chans, *dims]
        for i in range(self.num_stages):
            self.add_module(f'patch_embed{i + 1}', PatchEmbed(channels[i], dims[i], 4 if i == 0 else 2,
                                                              overlap_embed))
            first = sum(depths[:i]) if drop_path_mode == 'global' else 0
            try:
                blocks = nn.ModuleList(
                    DSBlock(dims[i], sizes['num_heads'][i], sizes['mlp_ratio'][i],
                            sizes['downsamples'][i], qk_scale, drop_rate, attn_drop, rate,
                            conv_ffn=conv_ffn) for rate in rates[first:first + depths[i]])
            except ValueError as error:
                raise ValueError(f'stage {i} of DSNet: {error}') from None
            self.add_module(f'blocks{i + 1}', blocks)
        # The last stage's norm has its official name.
        self._norms: dict[int, str] = {}
        if out_norm is not None:
            norm_cfg = dict(type=out_norm) if isinstance(out_norm, str) else out_norm
            for i in sorted(set(self.out_indices)):
                self._norms[i] = 'norm' if i == len(dims) - 1 else f'norm{i + 1}'
                self.add_module(self._norms[i], build_norm_layer(norm_cfg, dims[i])[1])
        #: Least height and width of an image.
        self.min_size = 1 if overlap_embed else 4 * 2**(self.num_stages - 1)
        self._freeze()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps.

        Args:
            x: Images ``(B, in_chans, H, W)``, normalised, of any size from :attr:`min_size` on.

        Returns:
            One map ``(B, C_i, H // stride_i, W // stride_i)`` for each of ``out_indices``, in
            their order; with ``overlap_embed`` sizes are rounded up at each stage.

        Raises:
            ValueError: If the image is smaller than :attr:`min_size`.
        """
        x = self._prepared(x)
        maps = {}
        for i in range(self.num_stages):
            x = self.get_submodule(f'patch_embed{i + 1}')(x)
            if i == 0:
                x = self.pos_drop(x)
            x = run_blocks(self._blocks(i), x, self.with_cp)
            maps[i] = self.get_submodule(self._norms[i])(x) if i in self._norms else x
        return tuple(maps[i].contiguous() for i in self.out_indices)

    def _blocks(self, stage: int) -> nn.ModuleList:
        blocks = self.get_submodule(f'blocks{stage + 1}')
        assert isinstance(blocks, nn.ModuleList)
        return blocks

    def _frozen_modules(self) -> list[nn.Module]:
        frozen: list[nn.Module] = []
        if self.frozen_stages >= 0:
            frozen += [self.patch_embed1, self.pos_drop]
        for i in range(min(self.frozen_stages, self.num_stages)):
            frozen += [self.get_submodule(f'patch_embed{i + 1}'), self._blocks(i)]
            if i in self._norms:
                frozen.append(self.get_submodule(self._norms[i]))
        return frozen

"""BiFormer: four-stage transformer whose tokens attend to a few routed regions of the map.

Paper: "BiFormer: Vision Transformer with Bi-Level Routing Attention" (CVPR 2023, arXiv 2303.08810).
Official code: https://github.com/rayleizhu/BiFormer (commit 1697bbb, MIT).

Differences from the official code, none of them numerical where it runs: maps of any size are
padded to whole regions unless ``auto_pad=False``; ``qk_dims`` left out means ``embed_dim``; the
routed keys and values are never held k-fold for the backward pass and no attention matrix is made
(see :mod:`mmext.ops.bra`). Arguments and parameters have the official names, so official configs
and files carry over.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn as nn

from ....errors import did_you_mean
from ....registry import MODELS
from .base import STAGES, FourStageBackbone, per_stage, rising_rates
from .blocks import Block, LayerNorm2d, PlainBlock, PlainBlock2d, PlainStage, Stage

_COMMON: dict[str, Any] = dict(head_dim=32, mlp_ratios=(3, 3, 3, 3), topks=(1, 4, 16, -2))
#: Published sizes of BiFormer, by their official names; initials will do too.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    'tiny': dict(_COMMON, depth=(2, 2, 8, 2), embed_dim=(64, 128, 256, 512)),
    'small': dict(_COMMON, depth=(4, 4, 18, 4), embed_dim=(64, 128, 256, 512)),
    'base': dict(_COMMON, depth=(4, 4, 18, 4), embed_dim=(96, 192, 384, 768)),
}


def _published(arch: str) -> dict[str, Any]:
    for name, sizes in ARCHITECTURES.items():
        if arch.lower() in (name, name[0]):
            return sizes
    raise ValueError(f"unknown architecture '{arch}', expected one of {', '.join(ARCHITECTURES)}"
                     f'{did_you_mean(arch, ARCHITECTURES)}')


def _heads(channels: Sequence[int], head_dim: int, topks: Sequence[int], field: str) -> list[int]:
    """Heads of each stage; only routed attention has them set by ``head_dim``."""
    for width, topk in zip(channels, topks):
        if topk > 0 and (head_dim < 1 or width % head_dim):
            raise ValueError(f'head_dim={head_dim} does not divide {width}, one of '
                             f'{field}={tuple(channels)}')
    return [width // head_dim if topk > 0 else 0 for width, topk in zip(channels, topks)]


@MODELS.register_module(name=['BiFormer', 'BiFormer_mm'])
class BiFormer(FourStageBackbone):
    """BiFormer backbone (paper, Fig. 4 and Table 1).

    Args:
        arch: 'tiny', 'small' or 'base' (or 't', 's', 'b'). The fields from ``depth`` to ``topks``
            are the architecture's unless given; lists have one value for each of four stages.
        depth: Blocks.
        embed_dim: Channels.
        head_dim: Channels of a head of routed attention; whole-map attention has eight heads.
        mlp_ratios: Hidden channels of the MLPs over ``embed_dim``.
        topks: Regions that each region attends to; 0 for convolutions instead of attention, -1 for
            attention over the whole map, -2 for the same with a local branch.
        qk_dims: Channels of queries and keys; a None in it (or instead of it) means ``embed_dim``.
        in_chans: Channels of the image.
        n_win: Maps are cut into ``n_win x n_win`` regions. Published: 7 at 224 px, 8 for ADE20K at
            512 px, 16 for COCO.
        auto_pad: Pad maps to whole regions; otherwise other sizes raise.
        qk_scale: Factor of the scores, ``qk_dim ** -0.5`` by default.
        kv_downsample_mode: Pooling of a region's keys and values, one of
            :data:`.KV_DOWNSAMPLE_MODES`.
        kv_per_wins: Side of a region after adaptive pooling, a stage.
        kv_downsample_ratios: Kernel and stride of the other poolings, a stage.
        kv_downsample_kernels: In official configs; no pooling that exists has a use for it.
        side_dwconv: Kernel of the local branch; 0 for none.
        before_attn_dwconv: 3 for a position convolution in each block, 0 for none.
        layer_scale_init_value: Initial layer scale; 0 or less for none.
        param_attention, param_routing, diff_routing, soft_routing: See
            :class:`.BiLevelRoutingAttention`.
        pre_norm: Norm before each branch, otherwise after its residual.
        pe: None; the official code has no other absolute position encoding.
        mlp_dwconv: Depth-wise convolution inside the MLPs.
        drop_path_rate: Stochastic depth of the last block, rising linearly from 0. Published: 0.15
            for 'small'.
        mask_padding: Leave padded tokens out of means, softmax and local branch.
        region_size: Side of a region in tokens, one value or one a stage, instead of ``n_win``.
        clip_topk: Take all regions where there are fewer than top-k.
        out_indices, extra_norms, final_norm, num_classes, frozen_stages, norm_eval,
            disable_bn_grad, with_cp, use_checkpoint_stages: See :class:`.FourStageBackbone`.
            Classification wants ``extra_norms=False, final_norm=True, out_indices=(3, )``.
        init_cfg: As for any :class:`BaseModule`; ``dict(type='Pretrained', checkpoint=...)`` takes
            official files as well as converted ones.

    Raises:
        ValueError: If a value is none of the above, or image or weights do not fit.

    Example:
        >>> backbone = BiFormer('tiny')
        >>> [tuple(x.shape) for x in backbone(torch.rand(1, 3, 64, 96))]
        [(1, 64, 16, 24), (1, 128, 8, 12), (1, 256, 4, 6), (1, 512, 2, 3)]
    """

    min_size = 4

    def __init__(self,
                 arch: str = 'small',
                 depth: Sequence[int] | None = None,
                 embed_dim: Sequence[int] | None = None,
                 head_dim: int | None = None,
                 mlp_ratios: Sequence[float] | None = None,
                 topks: Sequence[int] | None = None,
                 qk_dims: Sequence[int | None] | None = None,
                 in_chans: int = 3,
                 n_win: int = 7,
                 auto_pad: bool = True,
                 qk_scale: float | None = None,
                 kv_downsample_mode: str = 'identity',
                 kv_per_wins: Sequence[int] = (-1, -1, -1, -1),
                 kv_downsample_ratios: Sequence[int] = (4, 2, 1, 1),
                 kv_downsample_kernels: Sequence[int] = (4, 2, 1, 1),
                 side_dwconv: int = 5,
                 before_attn_dwconv: int = 3,
                 layer_scale_init_value: float = -1,
                 param_attention: str = 'qkvo',
                 param_routing: bool = False,
                 diff_routing: bool = False,
                 soft_routing: bool = False,
                 pre_norm: bool = True,
                 pe: str | None = None,
                 mlp_dwconv: bool = False,
                 drop_path_rate: float = 0.,
                 mask_padding: bool = False,
                 region_size: int | Sequence[int] | None = None,
                 clip_topk: bool = False,
                 out_indices: Sequence[int] = (0, 1, 2, 3),
                 extra_norms: bool = True,
                 final_norm: bool = False,
                 num_classes: int = 0,
                 frozen_stages: int = -1,
                 norm_eval: bool = False,
                 disable_bn_grad: bool = False,
                 with_cp: bool = False,
                 use_checkpoint_stages: Sequence[int] = (),
                 init_cfg: dict | list[dict] | None = None) -> None:
        sizes = _published(arch)
        depth = per_stage('depth', sizes['depth'] if depth is None else depth)
        dims = per_stage('embed_dim', sizes['embed_dim'] if embed_dim is None else embed_dim)
        mlp_ratios = per_stage('mlp_ratios',
                               sizes['mlp_ratios'] if mlp_ratios is None else mlp_ratios)
        topks = per_stage('topks', sizes['topks'] if topks is None else topks)
        qk_dims = per_stage('qk_dims', [None] * STAGES if qk_dims is None else qk_dims)
        widths = [qk or dim for qk, dim in zip(qk_dims, dims)]
        kv_per_wins = per_stage('kv_per_wins', kv_per_wins)
        ratios = per_stage('kv_downsample_ratios', kv_downsample_ratios)
        per_stage('kv_downsample_kernels', kv_downsample_kernels)
        region_sizes = ([region_size] * STAGES if region_size is None or isinstance(region_size, int)
                        else per_stage('region_size', region_size))
        heads = _heads(widths, sizes['head_dim'] if head_dim is None else head_dim, topks, 'qk_dims')
        if pe not in (None, 'none'):
            raise ValueError(f"pe='{pe}': expected None, the official code has no other")
        super().__init__(dims, out_indices, extra_norms, final_norm, num_classes, frozen_stages,
                         norm_eval, disable_bn_grad, with_cp, use_checkpoint_stages, init_cfg)

        rates = iter(rising_rates(drop_path_rate, sum(depth)))
        for i in range(self.built_stages):
            if i == 0:
                layers = [nn.Conv2d(in_chans, dims[0] // 2, 3, stride=2, padding=1),
                          nn.BatchNorm2d(dims[0] // 2), nn.GELU(),
                          nn.Conv2d(dims[0] // 2, dims[0], 3, stride=2, padding=1)]
            else:
                layers = [nn.Conv2d(dims[i - 1], dims[i], 3, stride=2, padding=1)]
            self.downsample_layers.append(nn.Sequential(*layers, nn.BatchNorm2d(dims[i])))
            self.stages.append(Stage((
                Block(dims[i], next(rates), layer_scale_init_value, topks[i], mlp_ratios[i],
                      mlp_dwconv, side_dwconv, before_attn_dwconv, pre_norm,
                      num_heads=heads[i], n_win=n_win, qk_dim=widths[i], qk_scale=qk_scale,
                      kv_per_win=kv_per_wins[i], kv_downsample_ratio=ratios[i],
                      kv_downsample_mode=kv_downsample_mode, param_attention=param_attention,
                      param_routing=param_routing, diff_routing=diff_routing,
                      soft_routing=soft_routing, auto_pad=auto_pad, mask_padding=mask_padding,
                      region_size=region_sizes[i], clip_topk=clip_topk)
                for _ in range(depth[i])), i in self.recomputed_stages))
        self._finish(nn.BatchNorm2d, dims[-1])


_NORMS = {'BatchNorm2d': nn.BatchNorm2d, 'LayerNorm2d': LayerNorm2d}


@MODELS.register_module()
class BiFormerSTL(FourStageBackbone):
    """BRA in Swin-T's layout, the model of the paper's ablations (Table 6).

    Stem and downsampling are patch convolutions; blocks have neither position convolution nor
    layer scale. Published as two files, of the same size and accuracy, with either version of BRA.

    Args:
        layout: 'nhwc' for :class:`.BiLevelRoutingAttention`, 'nchw' for :class:`.BRA`. Weights of
            one do not fit the other, and results differ on maps that are padded.
        depth: Blocks, a stage.
        embed_dim: Channels, a stage.
        head_dim: Channels of a head of routed attention; whole-map attention has eight heads.
        mlp_ratios: Hidden channels of the MLPs over ``embed_dim``, a stage.
        n_wins: Maps are cut into ``n_win x n_win`` regions, one value or one a stage.
        topks: Regions that each region attends to, a stage. 'nhwc': as in :class:`BiFormer`; 'nchw':
            -1 for whole-map attention with a local branch. By default (1, 4, 16) and whole-map
            attention with a local branch.
        in_chans: Channels of the image.
        side_dwconv: Kernel of the local branch; 0 for none. That of whole-map attention in 'nchw'
            is 5.
        norm_layer: Norm of stem and downsampling, 'BatchNorm2d' or 'LayerNorm2d'.
        pre_head_norm_layer: Norm before the classifier, ``norm_layer`` by default.
        drop_path_rate: Stochastic depth of the last block, rising linearly from 0.
        mask_padding, region_size, clip_topk: See :class:`BiFormer`.
        out_indices, extra_norms, final_norm, num_classes, frozen_stages, norm_eval,
            disable_bn_grad, with_cp, use_checkpoint_stages: See :class:`.FourStageBackbone`.
        init_cfg: See :class:`BiFormer`.

    Raises:
        ValueError: If a value is none of the above, or image or weights do not fit.
    """

    min_size = 32

    def __init__(self,
                 layout: str = 'nhwc',
                 depth: Sequence[int] = (2, 2, 6, 2),
                 embed_dim: Sequence[int] = (96, 192, 384, 768),
                 head_dim: int = 32,
                 mlp_ratios: Sequence[float] = (4, 4, 4, 4),
                 n_wins: int | Sequence[int] = 7,
                 topks: Sequence[int] | None = None,
                 in_chans: int = 3,
                 side_dwconv: int = 5,
                 norm_layer: str = 'BatchNorm2d',
                 pre_head_norm_layer: str | None = None,
                 drop_path_rate: float = 0.,
                 mask_padding: bool = False,
                 region_size: int | Sequence[int] | None = None,
                 clip_topk: bool = False,
                 out_indices: Sequence[int] = (0, 1, 2, 3),
                 extra_norms: bool = True,
                 final_norm: bool = False,
                 num_classes: int = 0,
                 frozen_stages: int = -1,
                 norm_eval: bool = False,
                 disable_bn_grad: bool = False,
                 with_cp: bool = False,
                 use_checkpoint_stages: Sequence[int] = (),
                 init_cfg: dict | list[dict] | None = None) -> None:
        if layout not in ('nhwc', 'nchw'):
            raise ValueError(f"layout='{layout}': expected 'nhwc' or 'nchw'")
        for name in (norm_layer, pre_head_norm_layer or norm_layer):
            if name not in _NORMS:
                raise ValueError(f"norm_layer='{name}': expected one of {', '.join(_NORMS)}"
                                 f'{did_you_mean(name, _NORMS)}')
        block = PlainBlock if layout == 'nhwc' else PlainBlock2d
        depth, dims = per_stage('depth', depth), per_stage('embed_dim', embed_dim)
        mlp_ratios = per_stage('mlp_ratios', mlp_ratios)
        n_wins = [n_wins] * STAGES if isinstance(n_wins, int) else per_stage('n_wins', n_wins)
        topks = per_stage('topks', topks or (1, 4, 16, -2 if layout == 'nhwc' else -1))
        region_sizes = ([region_size] * STAGES if region_size is None or isinstance(region_size, int)
                        else per_stage('region_size', region_size))
        heads = _heads(dims, head_dim, topks, 'embed_dim')
        super().__init__(dims, out_indices, extra_norms, final_norm, num_classes, frozen_stages,
                         norm_eval, disable_bn_grad, with_cp, use_checkpoint_stages, init_cfg)

        norm = _NORMS[norm_layer]
        rates = iter(rising_rates(drop_path_rate, sum(depth)))
        for i in range(self.built_stages):
            if i == 0:
                layers = [nn.Conv2d(in_chans, dims[0], 4, stride=4), norm(dims[0])]
            else:
                layers = [norm(dims[i - 1]), nn.Conv2d(dims[i - 1], dims[i], 2, stride=2)]
            self.downsample_layers.append(nn.Sequential(*layers))
            self.stages.append(PlainStage((
                block(dims[i], next(rates), topks[i], mlp_ratios[i], side_dwconv,
                      num_heads=heads[i], n_win=n_wins[i], mask_padding=mask_padding,
                      region_size=region_sizes[i], clip_topk=clip_topk)
                for _ in range(depth[i])), i in self.recomputed_stages, layout == 'nhwc'))
        self._finish(_NORMS[pre_head_norm_layer or norm_layer], dims[-1])

"""Bi-level routing attention (BRA), in the layout and padding of either official version.

The two are equal where the map's sides are multiples of the grid's. Elsewhere they are not: one
pads the input (so padded tokens carry the projection's bias), the other pads queries, keys and
values with zeros and lets the grid grow.

Shapes: B batch, H and W size of the map, C channels, R regions of T tokens, k routed regions.
"""
from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ....errors import did_you_mean
from ....ops.bra import merge_regions, routed_attention, split_regions
from ....ops.depthwise import DepthwiseConv2d
from ....registry import MODELS
from .routing import Routing, TopKRouter

#: How the keys and values of a region can be pooled.
KV_DOWNSAMPLE_MODES = ('identity', 'ada_avgpool', 'ada_maxpool', 'avgpool', 'maxpool')


def depthwise(channels: int, kernel_size: int) -> nn.Conv2d | None:
    """The depth-wise convolution of the local branch; None for ``kernel_size=0``."""
    if kernel_size == 0:
        return None
    if kernel_size < 0 or kernel_size % 2 == 0:
        raise ValueError(f'side_dwconv={kernel_size}: expected an odd kernel size, or 0 for none')
    return DepthwiseConv2d(channels, kernel_size)


class RegionAttention(nn.Module):
    """What both versions of BRA share: heads, grid, top-k and the local branch.

    ``attend`` is the function that does the work; tests and benchmarks put
    :func:`mmext.ops.bra.routed_attention_reference` in its place.
    """

    attend: Callable[..., Tensor] = staticmethod(routed_attention)

    def __init__(self, dim: int, qk_dim: int, num_heads: int, n_win: int, qk_scale: float | None,
                 topk: int, side_dwconv: int, mask_padding: bool,
                 region_size: int | tuple[int, int] | None, clip_topk: bool) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads or qk_dim % num_heads:
            raise ValueError(f'num_heads={num_heads} does not divide dim={dim} and qk_dim={qk_dim}')
        if topk < 1 or n_win < 1:
            raise ValueError(f'topk={topk}, n_win={n_win}: both must be 1 or more')
        if region_size is None and topk > n_win * n_win and not clip_topk:
            raise ValueError(f'topk={topk} is more than the {n_win * n_win} regions of n_win={n_win}; '
                             f'use topk <= {n_win * n_win}, or clip_topk=True to take them all')
        self.dim = dim
        self.qk_dim = qk_dim
        self.num_heads = num_heads
        self.n_win = n_win
        self.scale = qk_scale or qk_dim**-0.5
        self.topk = topk
        self.mask_padding = mask_padding
        self.region_size = (region_size, region_size) if isinstance(region_size, int) else region_size
        if self.region_size is not None and min(self.region_size) < 1:
            raise ValueError(f'region_size={region_size}: expected 1 or more tokens a side')
        self.clip_topk = clip_topk
        self.lepe = depthwise(dim, side_dwconv)

    def _choices(self, regions: int, clip: bool) -> int:
        if self.topk > regions and not clip:
            raise ValueError(f'topk={self.topk} is more than the {regions} regions that this map has '
                             f'with region_size={self.region_size}; clip_topk=True takes them all')
        return min(self.topk, regions)

    def _local(self, value: Tensor) -> Tensor | None:
        """The local branch, ``(B, H, W, C) -> (B, H, W, C)``."""
        if self.lepe is None:
            return None
        return self.lepe(value.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _ceil(length: int, part: int) -> int:
    # Of positive terms only: exported to ONNX, a division rounds towards zero.
    return (length + part - 1) // part


def _valid_tokens(x: Tensor, size: tuple[int, int], padded: tuple[int, int],
                  grid: tuple[int, int]) -> Tensor:
    """``(1, R, T)``, false for the tokens that pad a map of ``size`` to ``padded``."""
    valid = torch.zeros(1, *padded, 1, dtype=torch.bool, device=x.device)
    valid[:, :size[0], :size[1]] = True
    return split_regions(valid, *grid).squeeze(-1)


def _region_means(x: Tensor, valid: Tensor | None) -> Tensor:
    """Mean over the tokens of each region (the valid ones), ``(B, R, T, C) -> (B, R, C)``."""
    if valid is None:
        return x.mean(dim=2)
    factors = valid.to(x.dtype).unsqueeze(-1)
    return (x * factors).sum(dim=2) / factors.sum(dim=2).clamp(min=1)


class QKVLinear(nn.Module):
    """The projections, one parameter as in the official files, three contiguous results."""

    def __init__(self, dim: int, qk_dim: int) -> None:
        super().__init__()
        self.sizes = (qk_dim, qk_dim, dim)
        self.qkv = nn.Linear(dim, sum(self.sizes))

    def forward(self, x: Tensor) -> list[Tensor]:
        weights, biases = self.qkv.weight.split(self.sizes), self.qkv.bias.split(self.sizes)
        return [F.linear(x, weight, bias) for weight, bias in zip(weights, biases)]


@MODELS.register_module()
class BiLevelRoutingAttention(RegionAttention):
    """BRA of the published BiFormer-T/S/B, ``(B, H, W, C) -> (B, H, W, C)`` (paper, Sec. 3.2).

    The softmax scale is that of the full ``qk_dim``, not of a head, and padded tokens take part
    in region means, softmax and local branch, both as in the official code.

    Args:
        dim: C, a multiple of ``num_heads``.
        num_heads: Heads of the token attention.
        n_win: The map is cut into ``n_win x n_win`` regions.
        qk_dim: Channels of queries and keys, ``dim`` by default.
        qk_scale: Factor of the scores, ``qk_dim ** -0.5`` by default.
        kv_per_win: Side of a region's keys and values after 'ada_avgpool' or 'ada_maxpool'.
        kv_downsample_ratio: Kernel and stride of 'avgpool' and 'maxpool'.
        kv_downsample_mode: One of :data:`KV_DOWNSAMPLE_MODES`.
        topk: Regions that each region attends to.
        param_attention: 'qkvo', or 'qkv' for no projection of the result.
        param_routing: Learned projection in the router; needs ``diff_routing``.
        diff_routing: Gradients through the routing weights; needs ``soft_routing``.
        soft_routing: Multiply routed keys and values by their routing weight.
        side_dwconv: Kernel of the local branch (LePE); 0 for none.
        auto_pad: Zero-pad the input at the bottom and right to whole regions.
        mask_padding: Leave padded tokens out of means, softmax and local branch.
        region_size: Side (or height and width) of a region in tokens, instead of ``n_win``: the
            cost per token then does not grow with the image.
        clip_topk: Take all regions where there are fewer than ``topk``.

    Raises:
        ValueError: If heads do not divide the channels, options exclude each other, there are
            fewer regions than ``topk``, or (without ``auto_pad``) the map has no whole regions.

    Example:
        >>> attention = BiLevelRoutingAttention(32, num_heads=4, n_win=7, topk=4)
        >>> attention(torch.rand(1, 20, 30, 32)).shape
        torch.Size([1, 20, 30, 32])
    """

    def __init__(self,
                 dim: int,
                 num_heads: int = 8,
                 n_win: int = 7,
                 qk_dim: int | None = None,
                 qk_scale: float | None = None,
                 kv_per_win: int = 4,
                 kv_downsample_ratio: int = 4,
                 kv_downsample_mode: str = 'identity',
                 topk: int = 4,
                 param_attention: str = 'qkvo',
                 param_routing: bool = False,
                 diff_routing: bool = False,
                 soft_routing: bool = False,
                 side_dwconv: int = 3,
                 auto_pad: bool = True,
                 mask_padding: bool = False,
                 region_size: int | tuple[int, int] | None = None,
                 clip_topk: bool = False) -> None:
        super().__init__(dim, qk_dim or dim, num_heads, n_win, qk_scale, topk, side_dwconv,
                         mask_padding, region_size, clip_topk)
        if param_routing and not diff_routing:
            raise ValueError('param_routing=True needs diff_routing=True: nothing would train it')
        if diff_routing and not soft_routing:
            raise ValueError('diff_routing=True needs soft_routing=True: a hard choice passes no '
                             'gradient')
        if param_attention not in ('qkvo', 'qkv'):
            raise ValueError(f"param_attention='{param_attention}': expected 'qkvo' or 'qkv'")
        self.soft_routing = soft_routing
        self.auto_pad = auto_pad
        self.router = TopKRouter(self.qk_dim, self.scale, param_routing, diff_routing)
        self.qkv = QKVLinear(dim, self.qk_dim)
        self.wo = nn.Linear(dim, dim) if param_attention == 'qkvo' else nn.Identity()
        self.kv_down = _kv_pool(kv_downsample_mode, kv_per_win, kv_downsample_ratio)

    def forward(self, x: Tensor, return_routing: bool = False) -> Tensor | tuple[Tensor, Routing]:
        """Attend.

        Args:
            x: ``(B, H, W, C)``.
            return_routing: Return the :class:`.Routing` too.
        """
        size = height, width = x.shape[1], x.shape[2]
        if self.region_size is None:
            grid = rows, cols = self.n_win, self.n_win
        else:
            grid = rows, cols = _ceil(height, self.region_size[0]), _ceil(width, self.region_size[1])
        high, wide = self.region_size or (_ceil(height, rows), _ceil(width, cols))
        padded = (rows * high, cols * wide)
        if padded != size:
            if not self.auto_pad:
                raise ValueError(f'a map of {height} x {width} cannot be cut into {rows} x {cols} equal '
                                 'regions; auto_pad=True pads it')
            x = F.pad(x, (0, 0, 0, padded[1] - width, 0, padded[0] - height))
        valid = None
        if self.mask_padding and padded != size:
            valid = _valid_tokens(x, size, padded, grid)

        query, key, value = self.qkv(split_regions(x, rows, cols))
        routing = self.router(
            _region_means(query, valid), _region_means(key, valid),
            self._choices(rows * cols, self.clip_topk), grid, (high, wide), size,
            None if valid is None else ~valid.any(dim=-1))
        local = self._local(self._unpadded(merge_regions(value, rows, cols, high), valid, size))
        key, _ = self._pooled(key, high, valid)
        value, valid = self._pooled(value, high, valid)
        out = self.attend(query, key, value, routing.indices, self.num_heads, self.scale,
                          routing.weights if self.soft_routing else None, valid)
        out = merge_regions(out, rows, cols, high)
        if padded != size:
            out = out[:, :height, :width]
            local = None if local is None else local[:, :height, :width]
        out = self.wo(out if local is None else out + local)
        return (out, routing) if return_routing else out

    @staticmethod
    def _unpadded(x: Tensor, valid: Tensor | None, size: tuple[int, int]) -> Tensor:
        return x if valid is None else x[:, :size[0], :size[1]]

    def _pooled(self, x: Tensor, high: int, valid: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Pool the tokens of each region, ``(B, R, T, C) -> (B, R, T', C)``, and their mask."""
        kv_down = self.kv_down
        if kv_down is None:
            return x, valid
        batch, regions, tokens, channels = x.shape
        wide = tokens // high
        kernel = getattr(kv_down, 'kernel_size', 1)
        if kernel > min(high, wide):
            raise ValueError(f'kv_downsample_ratio={kernel} is more than the side of a region, '
                             f'{high} x {wide} tokens')

        def pool(tokens: Tensor) -> Tensor:
            maps = tokens.reshape(-1, high, wide, tokens.shape[-1]).permute(0, 3, 1, 2)
            return kv_down(maps).flatten(2).transpose(1, 2)

        if valid is None:
            return pool(x).view(batch, regions, -1, channels), None
        share = valid.to(x.dtype).unsqueeze(-1)
        if isinstance(kv_down, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            share = pool(share).view(1, regions, -1, 1)
            x = pool(x * valid.unsqueeze(-1)).view(batch, regions, -1, channels)
            return x / share.clamp(min=1e-6), share.squeeze(-1) > 0
        share = pool(share).view(1, regions, -1, 1)
        lowest = torch.finfo(x.dtype).min
        x = pool(x.masked_fill(~valid.unsqueeze(-1), lowest)).view(batch, regions, -1, channels)
        return x.masked_fill(share == 0, 0.), share.squeeze(-1) > 0


def _kv_pool(mode: str, side: int, ratio: int) -> nn.Module | None:
    """The pooling of a region's keys and values, None for no pooling."""
    if mode not in KV_DOWNSAMPLE_MODES:
        raise ValueError(f"kv_downsample_mode='{mode}': expected one of "
                         f'{", ".join(KV_DOWNSAMPLE_MODES)}{did_you_mean(mode, KV_DOWNSAMPLE_MODES)}')
    if mode.startswith('ada_'):
        if side < 1:
            raise ValueError(f"kv_per_win={side}: kv_downsample_mode='{mode}' needs 1 or more")
        return nn.AdaptiveAvgPool2d(side) if mode == 'ada_avgpool' else nn.AdaptiveMaxPool2d(side)
    if mode == 'identity' or ratio <= 1:
        return None
    return nn.AvgPool2d(ratio) if mode == 'avgpool' else nn.MaxPool2d(ratio)


@MODELS.register_module(name=['BRA', 'nchwBRA'])
class BRA(RegionAttention):
    """BRA of the refactored official code, ``(B, C, H, W) -> (B, C, H, W)``.

    ``n_win`` sets the size of a region, ``(H // n_win, W // n_win)``; a map that is no multiple
    of it gets more regions than ``n_win x n_win``, filled up with zeros after the projection.

    Args:
        dim: C, a multiple of ``num_heads``.
        num_heads: Heads of the token attention.
        n_win: Regions along a side, of maps that are multiples of it. Maps with fewer tokens a side
            have one region for each token.
        qk_scale: Factor of the scores, ``dim ** -0.5`` by default.
        topk: Regions that each region attends to.
        side_dwconv: Kernel of the local branch (LePE); 0 for none.
        mask_padding: Keep the zeros that fill up regions out of the softmax.
        region_size: Side (or height and width) of a region in tokens, instead of ``n_win``.
        clip_topk: Take all regions where there are fewer than ``topk``.

    Raises:
        ValueError: If heads do not divide the channels or there are fewer regions than ``topk``.

    Example:
        >>> attention = BRA(32, num_heads=4, n_win=7, topk=4)
        >>> attention(torch.rand(1, 32, 20, 30)).shape
        torch.Size([1, 32, 20, 30])
    """

    def __init__(self,
                 dim: int,
                 num_heads: int = 8,
                 n_win: int = 7,
                 qk_scale: float | None = None,
                 topk: int = 4,
                 side_dwconv: int = 3,
                 mask_padding: bool = False,
                 region_size: int | tuple[int, int] | None = None,
                 clip_topk: bool = False) -> None:
        super().__init__(dim, dim, num_heads, n_win, qk_scale, topk, side_dwconv, mask_padding,
                         region_size, clip_topk)
        self.router = TopKRouter(dim, self.scale)
        self.qkv_linear = nn.Conv2d(dim, 3 * dim, 1)
        self.output_linear = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor, return_routing: bool = False) -> Tensor | tuple[Tensor, Routing]:
        """Attend.

        Args:
            x: ``(B, C, H, W)``.
            return_routing: Return the :class:`.Routing` too.
        """
        size = height, width = x.shape[2], x.shape[3]
        high, wide = self.region_size or (max(height // self.n_win, 1), max(width // self.n_win, 1))
        grid = rows, cols = _ceil(height, high), _ceil(width, wide)
        padded = (rows * high, cols * wide)
        x = x.permute(0, 2, 3, 1)
        qkv, projection = self.qkv_linear, self.output_linear
        assert qkv.bias is not None
        maps = [F.linear(x, weight, bias) for weight, bias in
                zip(qkv.weight.flatten(1).split(self.dim), qkv.bias.split(self.dim))]
        local = self._local(maps[2])
        valid = None
        if padded != size:
            maps = [F.pad(one, (0, 0, 0, padded[1] - width, 0, padded[0] - height)) for one in maps]
            valid = _valid_tokens(x, size, padded, grid)
        query, key, value = (split_regions(one, rows, cols) for one in maps)
        # Maps smaller than the grid have fewer regions; the official code cannot take them.
        clip = self.clip_topk or self.region_size is None
        routing = self.router(_region_means(query, valid), _region_means(key, valid),
                              self._choices(rows * cols, clip), grid, (high, wide), size)
        out = self.attend(query, key, value, routing.indices, self.num_heads, self.scale, None,
                          valid if self.mask_padding else None)
        out = merge_regions(out, rows, cols, high)[:, :height, :width]
        if local is not None:
            out = out + local
        out = F.linear(out, projection.weight.flatten(1), projection.bias)
        out = out.permute(0, 3, 1, 2)
        return (out, routing) if return_routing else out

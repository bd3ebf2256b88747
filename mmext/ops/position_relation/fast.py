"""The position relation without a tensor of all pairs and all features.

Two ideas. The size ratios are differences of logarithms, ``log w_i - log w_j``, so their sines and
cosines follow from those of single boxes, and their share of the projection is one matrix product
per head: half of the pairwise sines are never computed. The other half lives for a few rows at a
time and is made again in the backward pass, for which only the boxes and the ReLU's sign are kept.

Shapes: see :mod:`.reference`.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..kernels import kernel_wanted, tracing
from .reference import EPS, along_sides, frequencies, position_relation_reference
from .sizes import waves_of_sizes

#: Bytes of features made at a time; so much stays in a processor's cache, or keeps a GPU busy.
CHUNK_BYTES = {'cpu': 2**20, 'cuda': 2**26}


def position_relation(src: Tensor,
                      tgt: Tensor,
                      weight: Tensor,
                      bias: Tensor,
                      temperature: float = 10000.,
                      scale: float = 100.,
                      mask: Tensor | None = None,
                      triton: bool | None = None) -> Tensor:
    """See :func:`.position_relation_reference`; same numbers, less memory and time.

    Half precision, too coarse for phases of hundreds, is computed in float32; the result has the type
    of ``src``. A compiler or an exporter gets the reference, which it fuses or traces better.

    Args:
        src: See :func:`.position_relation_reference`, as all others but the last.
        tgt: ``(B, M, 4 or 5)``.
        weight: ``(H, 8K)``.
        bias: ``(H, )``.
        temperature: Ratio of the wave lengths.
        scale: Factor of the differences.
        mask: ``(N, M)``.
        triton: Use the Triton kernels for single and half precision on a GPU; by default as
            ``MMEXT_TRITON`` says (:func:`mmext.ops.kernels.kernel_wanted`), which is: do not.

    Returns:
        ``(B, H, N, M)``.
    """
    dtype = src.dtype
    if dtype in (torch.float16, torch.bfloat16):
        src, tgt, weight, bias = (x.float() for x in (src, tgt, weight, bias))
    if tracing():
        return position_relation_reference(src, tgt, weight, bias, temperature, scale, mask).to(dtype)
    src, tgt = src.detach(), tgt.detach()
    if kernel_wanted(triton, src.device):
        from . import triton_kernels  # only where Triton is installed
        if triton_kernels.supports(src, tgt, weight, bias, temperature, scale):
            return triton_kernels.FusedPositionRelation.apply(src, tgt, weight, bias, temperature, scale,
                                                              mask, dtype)
    return _PositionRelation.apply(src, tgt, weight, bias, temperature, scale, mask).to(dtype)


class _PositionRelation(torch.autograd.Function):
    """Saves the boxes and where the ReLU is active; the gradient is that of the projection only."""

    @staticmethod
    def forward(ctx: Any, src: Tensor, tgt: Tensor, weight: Tensor, bias: Tensor, temperature: float,
                scale: float, mask: Tensor | None) -> Tensor:
        out = src.new_empty(len(src), len(weight), src.shape[1], tgt.shape[1])
        with torch.autocast(src.device.type, enabled=False):
            pairs = _Pairs(src, tgt, weight, temperature, scale)
            keys = pairs.keys()
            for image, rows, features in pairs.chunks():
                out[image, :, rows] = pairs.project(image, rows, features, keys[image], bias).relu_()
        if mask is not None:
            out.masked_fill_(mask, float('-inf'))
        active = out > 0 if any(ctx.needs_input_grad) else None
        ctx.save_for_backward(src, tgt, weight, active)
        ctx.temperature, ctx.scale = temperature, scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        src, tgt, weight, active = ctx.saved_tensors
        with torch.autocast(src.device.type, enabled=False):
            pairs = _Pairs(src, tgt, weight, ctx.temperature, ctx.scale)
            sums = _Sums(pairs)
            for image, rows, features in pairs.chunks():
                sums.add(image, rows, features, grad[image, :, rows] * active[image, :, rows])
            return None, None, sums.weight(), sums.bias, None, None, None


class _Pairs:
    """All pairs of boxes of a batch, a few rows of one image at a time."""

    def __init__(self, src: Tensor, tgt: Tensor, weight: Tensor, temperature: float,
                 scale: float) -> None:
        self.src, self.tgt = src, tgt
        self.heads, channels = weight.shape
        self.count = channels // 8
        self.waves = frequencies(self.count, temperature, scale, src)
        # (heads, sine or cosine, differences, frequencies), as the features are laid out.
        by_kind = weight.unflatten(1, (4, self.count, 2)).permute(0, 3, 1, 2)
        self.offset_weight = by_kind[:, :, :2].flatten(1)
        self.ratio_weight = by_kind[:, :, 2:]
        self.src_waves, self.tgt_waves = (waves_of_sizes(boxes, self.waves) for boxes in (src, tgt))

    def keys(self) -> Tensor:
        """``(B, H, 4K, M)``: what a query's sines and cosines are multiplied with.

        ``s sin(a - b) + c cos(a - b) = sin a (s cos b + c sin b) + cos a (c cos b - s sin b)``.
        """
        sine, cosine = self.tgt_waves[:, None].unbind(2)
        s, c = self.ratio_weight[None, ..., None].unbind(2)
        return torch.stack((s * cosine + c * sine, c * cosine - s * sine), dim=2).flatten(2, 4)

    def chunks(self) -> Iterator[tuple[int, slice, Tensor]]:
        """Yields ``image, rows, features (4K, n*M)``; the features are overwritten by the next."""
        batch, rows, _ = self.src.shape
        columns = self.tgt.shape[1]
        if not rows or not columns:
            return
        row_bytes = 4 * self.count * columns * self.src.element_size()
        size = max(1, min(rows, CHUNK_BYTES.get(self.src.device.type, 2**26) // row_bytes))
        buffer = self.src.new_empty(2, 2, self.count, size * columns)
        for image in range(batch):
            centre, extent, angle = self.src[image].T[..., None].tensor_split((2, 4))
            other = self.tgt[image].T[:2, None]
            for start in range(0, rows, size):
                part = slice(start, min(start + size, rows))
                offset = along_sides(centre[:, part] - other, angle[:, part])
                offset = offset.abs_().div_(extent[:, part] + EPS).add_(1).log_()
                # In one buffer: fresh memory costs more than the arithmetic.
                features = buffer[..., :offset[0].numel()]
                phases = torch.mul(offset.flatten(1)[:, None], self.waves[:, None], out=features[1])
                torch.sin(phases, out=features[0])
                phases.cos_()
                yield image, part, features.flatten(0, 2)

    def project(self, image: int, rows: slice, features: Tensor, keys: Tensor, bias: Tensor) -> Tensor:
        """``(H, n, M)`` before the ReLU; ``keys (H, 4K, M)``."""
        offsets = torch.addmm(bias[:, None], self.offset_weight, features)
        queries = self.src_waves[image, ..., rows].flatten(0, 2).T.expand(self.heads, -1, -1)
        return torch.baddbmm(offsets.view(self.heads, -1, self.tgt.shape[1]), queries, keys)


class _Sums:
    """The gradients of weight and bias, summed over all pairs."""

    def __init__(self, pairs: _Pairs) -> None:
        self.pairs = pairs
        self.offset = torch.zeros_like(pairs.offset_weight)
        self.ratio = torch.zeros_like(pairs.ratio_weight)
        self.bias = pairs.src.new_zeros(pairs.heads)

    def add(self, image: int, rows: slice, features: Tensor, grad: Tensor) -> None:
        """Of some rows: the gradient ``(H, n, M)`` before the ReLU."""
        pairs = self.pairs
        self.bias += grad.sum((1, 2))
        self.offset += grad.flatten(1) @ features.T
        sine, cosine = pairs.src_waves[image, ..., rows]
        # (H, n, 4K): the gradient seen by the sines and cosines of the rows.
        mixed = grad @ pairs.tgt_waves[image].flatten(0, 2).T
        by_sine, by_cosine = mixed.unflatten(-1, (2, 2, pairs.count)).permute(2, 0, 3, 4, 1)
        self.ratio[:, 0] += (sine * by_cosine - cosine * by_sine).sum(-1)
        self.ratio[:, 1] += (cosine * by_cosine + sine * by_sine).sum(-1)

    def weight(self) -> Tensor:
        """``(H, 8K)`` in the order of the weight."""
        offset = self.offset.unflatten(1, (2, 2, self.pairs.count))
        return torch.cat((offset, self.ratio), dim=2).permute(0, 2, 3, 1).flatten(1)

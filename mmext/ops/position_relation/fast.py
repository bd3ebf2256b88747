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

from .reference import EPS, along_sides, frequencies, position_relation_reference

#: Bytes of features made at a time; so much stays in a processor's cache, or keeps a GPU busy.
CHUNK_BYTES = {'cpu': 2**20, 'cuda': 2**26}


def position_relation(src: Tensor,
                      tgt: Tensor,
                      weight: Tensor,
                      bias: Tensor,
                      temperature: float = 10000.,
                      scale: float = 100.,
                      mask: Tensor | None = None) -> Tensor:
    """See :func:`.position_relation_reference`; same numbers, less memory and time.

    A compiler or an exporter gets the reference, which it fuses or traces better.
    """
    traced = (torch.compiler.is_compiling() or torch.jit.is_tracing()
              or torch.onnx.is_in_onnx_export())
    if traced:
        return position_relation_reference(src, tgt, weight, bias, temperature, scale, mask)
    return _PositionRelation.apply(src.detach(), tgt.detach(), weight, bias, temperature, scale, mask)


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
        self.src_waves, self.tgt_waves = self._waves_of_sizes(src), self._waves_of_sizes(tgt)

    def _waves_of_sizes(self, boxes: Tensor) -> Tensor:
        """``(B, 2, 2, K, n)``: sine and cosine of the logarithms of width and height."""
        # The phases are large and only their differences count: double precision, for n numbers.
        sizes = (boxes[..., 2:4] + EPS).double().log().transpose(1, 2)
        phases = sizes[:, :, None] * self.waves.double()[:, None]
        return torch.stack((phases.sin(), phases.cos()), dim=1).to(boxes.dtype)

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

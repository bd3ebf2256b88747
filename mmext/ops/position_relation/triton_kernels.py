"""The position relation as one pair of Triton kernels: features, projection and ReLU in registers.

A pair of boxes is a lane. The forward kernel walks over the frequencies and adds each wave's share
to the sums of all heads, so nothing of a pair is in memory but the result (and, for the backward
pass, a byte for each head that says whether the ReLU is active). The backward kernel makes the waves
again: a program has some frequencies of one difference and sums over its share of the pairs in
registers; the few sums of the programs are added in a fixed order, so gradients are the same each
time.

As in :mod:`.fast` the waves of the size ratios come from those of single boxes by the sum formulas
of sine and cosine. The waves of the offsets have their own sine and cosine: phases are a few thousand
at most (see :data:`LARGEST_PHASE`), for which three constants reduce the argument to 1e-7, without
the detour through memory of the library's general ones.

Shapes: see :mod:`.reference`. Memory layouts: weight ``(4, K, 2, H')``, waves of sizes
``(B, 2, 2, K, n)`` (sine or cosine, width or height), H' the next power of two.
"""
# Triton itself gives arguments of kernels their types.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from .reference import EPS, frequencies
from .sizes import waves_of_sizes

#: Up to here the reduction of a phase is exact to rounding.
LARGEST_PHASE = 8192.
#: Of a logarithm of two lengths of which one may be as small as EPS.
_LARGEST_LOGARITHM = 24.
_EPS = tl.constexpr(EPS)
#: Of the pairs of an image, each with sums of its own in the backward pass; at most.
CHUNKS = 256
_WARPS = 4


def supports(src: Tensor, tgt: Tensor, weight: Tensor, bias: Tensor, temperature: float,
             scale: float) -> bool:
    """Whether the kernels give the plain path's numbers here: single precision, moderate phases."""
    if not all(x.dtype is torch.float32 for x in (src, tgt, weight, bias)):
        return False
    # The first wave is the shortest, or the last where the temperature is below 1.
    shortest = abs(scale) * max(1., 1 / temperature)
    return shortest * _LARGEST_LOGARITHM <= LARGEST_PHASE and src.numel() > 0 and tgt.numel() > 0


class FusedPositionRelation(torch.autograd.Function):
    """As the plain path's function; ``dtype`` is that of the result."""

    @staticmethod
    def forward(ctx: Any, src: Tensor, tgt: Tensor, weight: Tensor, bias: Tensor, temperature: float,
                scale: float, mask: Tensor | None, dtype: torch.dtype) -> Tensor:
        batch, rows, columns, heads = len(src), src.shape[1], tgt.shape[1], len(weight)
        count = weight.shape[1] // 8
        src, tgt = src.contiguous(), tgt.contiguous()
        waves = frequencies(count, temperature, scale, src)
        sizes = [waves_of_sizes(boxes, waves).contiguous() for boxes in (src, tgt)]
        padded = triton.next_power_of_2(heads)
        by_wave = F.pad(weight.unflatten(1, (4, count, 2)).permute(1, 2, 3, 0), (0, padded - heads))
        out = src.new_empty(batch, heads, rows, columns, dtype=dtype)
        saved = any(ctx.needs_input_grad)
        active = torch.empty_like(out, dtype=torch.uint8) if saved else None
        if mask is not None:
            mask = mask.expand(rows, columns).contiguous().view(torch.uint8)
        block = min(max(4096 // padded, 128), 512)
        with torch.cuda.device_of(src):
            relate_kernel[triton.cdiv(rows * columns, block), batch](
                src, tgt, *sizes, by_wave.contiguous(), F.pad(bias, (0, padded - heads)), waves,
                src if mask is None else mask, out, out if active is None else active,
                rows, columns, heads, SRC_SIDES=src.shape[2], TGT_SIDES=tgt.shape[2], COUNT=count,
                HEADS=padded, MASKED=mask is not None, SAVED=saved, BLOCK=block, num_warps=_WARPS)
        ctx.save_for_backward(src, tgt, waves, *sizes, active)
        ctx.heads = heads
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        src, tgt, waves, src_sizes, tgt_sizes, active = ctx.saved_tensors
        batch, heads, rows, columns = active.shape
        count = len(waves)
        padded = triton.next_power_of_2(heads)
        # Two sums of each wave and head a lane: 64 registers.
        freqs = min(triton.next_power_of_2(count), max(32 // padded, 1))
        parts = triton.cdiv(count, freqs)
        block = 32 * _WARPS
        tiles = triton.cdiv(rows * columns, block)
        steps = triton.cdiv(tiles, CHUNKS)
        chunks = triton.cdiv(tiles, steps)
        sums = src.new_empty(batch, chunks, 4, parts * freqs, 2, padded)
        biases = src.new_empty(batch, chunks, padded)
        with torch.cuda.device_of(src):
            for ratio in (False, True):
                relate_backward_kernel[chunks, 2 * parts, batch](
                    src, tgt, src_sizes, tgt_sizes, waves, active, grad, *grad.stride(), sums, biases,
                    rows, columns, heads, steps, SRC_SIDES=src.shape[2], TGT_SIDES=tgt.shape[2],
                    COUNT=count, HEADS=padded, PARTS=parts, FREQS=freqs, RATIO=ratio, BLOCK=block,
                    num_warps=_WARPS)
        weight = sums.sum((0, 1))[:, :count, :, :heads].permute(3, 0, 1, 2).flatten(1)
        return None, None, weight, biases.sum((0, 1))[:heads], None, None, None, None


@triton.jit
def _sine_and_cosine(x):
    # x = turns * pi / 2 + rest; pi / 2 in three parts, of which two have few bits: exact products.
    turns = tl.floor(x * 0.6366197723675814 + 0.5)
    rest = x - turns * 1.5703125
    rest = rest - turns * 4.837512969970703125e-4
    rest = rest - turns * 7.54978995489188216e-8
    square = rest * rest
    sine = square * -1.9515295891e-4 + 8.3321608736e-3
    sine = rest + rest * square * (square * sine - 1.6666654611e-1)
    cosine = square * 2.443315711809948e-5 - 1.388731625493765e-3
    cosine = square * cosine + 4.166664568298827e-2
    cosine = 1.0 - 0.5 * square + square * square * cosine
    quarter = turns.to(tl.int32)
    odd = (quarter & 1) == 1
    first = tl.where(odd, cosine, sine)
    second = tl.where(odd, sine, cosine)
    return (tl.where((quarter & 2) == 2, -first, first),
            tl.where(((quarter + 1) & 2) == 2, -second, second))


@triton.jit
def _offsets(src, tgt, i, j, valid, SRC_SIDES: tl.constexpr, TGT_SIDES: tl.constexpr):
    """The logarithms of the distances along the sides of the source."""
    source = src + i * SRC_SIDES
    other = tgt + j * TGT_SIDES
    x = tl.load(source, mask=valid, other=0.) - tl.load(other, mask=valid, other=0.)
    y = tl.load(source + 1, mask=valid, other=0.) - tl.load(other + 1, mask=valid, other=0.)
    wide = tl.load(source + 2, mask=valid, other=1.) + _EPS
    high = tl.load(source + 3, mask=valid, other=1.) + _EPS
    if SRC_SIDES == 5:
        sine, cosine = _sine_and_cosine(tl.load(source + 4, mask=valid, other=0.))
        along = x * cosine + y * sine
        y = y * cosine - x * sine
        x = along
    return tl.log(tl.abs(x) / wide + 1.0), tl.log(tl.abs(y) / high + 1.0)


@triton.jit
def _ratio_waves(src_sizes, tgt_sizes, wave, i, j, rows, columns, valid, COUNT: tl.constexpr):
    """``sin(a - b), cos(a - b)`` of single boxes' waves; ``wave`` counts width's, then height's."""
    source = src_sizes + wave * rows + i
    other = tgt_sizes + wave * columns + j
    sine = tl.load(source, mask=valid, other=0.)
    cosine = tl.load(source + 2 * COUNT * rows, mask=valid, other=0.)
    other_sine = tl.load(other, mask=valid, other=0.)
    other_cosine = tl.load(other + 2 * COUNT * columns, mask=valid, other=0.)
    return sine * other_cosine - cosine * other_sine, cosine * other_cosine + sine * other_sine


@triton.jit
def _add(total, weight, sine, cosine, HEADS: tl.constexpr):
    head = tl.arange(0, HEADS)
    total += tl.load(weight + head)[:, None] * sine[None, :]
    return total + tl.load(weight + HEADS + head)[:, None] * cosine[None, :]


@triton.jit
def relate_kernel(src, tgt, src_sizes, tgt_sizes, weight, bias, waves, mask, out, active, rows, columns,
                  heads, SRC_SIDES: tl.constexpr, TGT_SIDES: tl.constexpr, COUNT: tl.constexpr,
                  HEADS: tl.constexpr, MASKED: tl.constexpr, SAVED: tl.constexpr,
                  BLOCK: tl.constexpr):
    """BLOCK pairs of an image; the grid is (blocks of pairs, images)."""
    image = tl.program_id(1).to(tl.int64)
    pair = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    valid = pair < rows * columns
    i = pair // columns
    j = pair - i * columns
    src += image * rows * SRC_SIDES
    tgt += image * columns * TGT_SIDES
    src_sizes += image * rows * 4 * COUNT
    tgt_sizes += image * columns * 4 * COUNT
    x, y = _offsets(src, tgt, i, j, valid, SRC_SIDES, TGT_SIDES)
    head = tl.arange(0, HEADS)
    total = tl.zeros((HEADS, BLOCK), tl.float32) + tl.load(bias + head)[:, None]
    for k in range(COUNT):
        wave = tl.load(waves + k)
        first = weight + k * 2 * HEADS
        sine, cosine = _sine_and_cosine(x * wave)
        total = _add(total, first, sine, cosine, HEADS)
        sine, cosine = _sine_and_cosine(y * wave)
        total = _add(total, first + 2 * COUNT * HEADS, sine, cosine, HEADS)
        sine, cosine = _ratio_waves(src_sizes, tgt_sizes, k, i, j, rows, columns, valid, COUNT)
        total = _add(total, first + 4 * COUNT * HEADS, sine, cosine, HEADS)
        sine, cosine = _ratio_waves(src_sizes, tgt_sizes, COUNT + k, i, j, rows, columns, valid, COUNT)
        total = _add(total, first + 6 * COUNT * HEADS, sine, cosine, HEADS)
    # Not a maximum: what is not a number stays so.
    total = tl.where(total <= 0.0, 0.0, total)
    if MASKED:
        forbidden = tl.load(mask + pair, mask=valid, other=0) != 0
        total = tl.where(forbidden[None, :], float('-inf'), total)
    place = (image * heads + head[:, None]) * rows * columns + pair[None, :]
    inside = (head < heads)[:, None] & valid[None, :]
    tl.store(out + place, total.to(out.dtype.element_ty), mask=inside)
    if SAVED:
        tl.store(active + place, (total > 0.0).to(tl.uint8), mask=inside)


@triton.jit
def relate_backward_kernel(src, tgt, src_sizes, tgt_sizes, waves, active, grad, image_stride,
                           head_stride, row_stride, column_stride, sums, biases, rows, columns, heads,
                           steps, SRC_SIDES: tl.constexpr, TGT_SIDES: tl.constexpr,
                           COUNT: tl.constexpr, HEADS: tl.constexpr, PARTS: tl.constexpr,
                           FREQS: tl.constexpr, RATIO: tl.constexpr, BLOCK: tl.constexpr):
    """FREQS waves of one difference over ``steps`` blocks of pairs.

    The grid is (chunks of pairs, 2 * PARTS, images). RATIO takes the two size ratios and sums the
    gradient of the bias too; otherwise it is the two offsets.
    """
    chunk = tl.program_id(0)
    side = tl.program_id(1) // PARTS
    part = tl.program_id(1) % PARTS
    image = tl.program_id(2).to(tl.int64)
    src += image * rows * SRC_SIDES
    tgt += image * columns * TGT_SIDES
    src_sizes += image * rows * 4 * COUNT
    tgt_sizes += image * columns * 4 * COUNT
    active += image * heads * rows * columns
    grad += image * image_stride
    k = part * FREQS + tl.arange(0, FREQS)
    known = k < COUNT
    wave = tl.load(waves + k, mask=known, other=0.)
    head = tl.arange(0, HEADS)
    by_sine = tl.zeros((FREQS, HEADS, BLOCK), tl.float32)
    by_cosine = tl.zeros((FREQS, HEADS, BLOCK), tl.float32)
    by_one = tl.zeros((HEADS, BLOCK), tl.float32)
    for step in range(steps):
        pair = (chunk * steps + step) * BLOCK + tl.arange(0, BLOCK)
        valid = pair < rows * columns
        i = pair // columns
        j = pair - i * columns
        inside = (head < heads)[:, None] & valid[None, :]
        place = head.to(tl.int64)[:, None] * rows * columns + pair[None, :]
        on = tl.load(active + place, mask=inside, other=0) != 0
        along = i.to(tl.int64) * row_stride + j.to(tl.int64) * column_stride
        place = head.to(tl.int64)[:, None] * head_stride + along[None, :]
        seen = tl.load(grad + place, mask=inside & on, other=0.).to(tl.float32)
        if RATIO:
            sine, cosine = _ratio_waves(src_sizes, tgt_sizes, (side * COUNT + k)[:, None], i[None, :],
                                        j[None, :], rows, columns, known[:, None] & valid[None, :],
                                        COUNT)
            by_one += seen
        else:
            x, y = _offsets(src, tgt, i, j, valid, SRC_SIDES, TGT_SIDES)
            offset = tl.where(side == 0, x, y)
            sine, cosine = _sine_and_cosine(offset[None, :] * wave[:, None])
        by_sine += sine[:, None, :] * seen[None, :, :]
        by_cosine += cosine[:, None, :] * seen[None, :, :]
    if RATIO:
        difference = 2 + side
    else:
        difference = side
    row = image * tl.num_programs(0) + chunk
    place = sums + ((row * 4 + difference) * PARTS * FREQS + k[:, None]) * 2 * HEADS + head[None, :]
    tl.store(place, tl.sum(by_sine, axis=2))
    tl.store(place + HEADS, tl.sum(by_cosine, axis=2))
    if RATIO:  # noqa: SIM102 (one is known to the compiler, the other is not)
        if tl.program_id(1) == 0:
            tl.store(biases + row * HEADS + head, tl.sum(by_one, axis=1))

"""Routed attention as Triton kernels: the routed regions are read in place, nothing is gathered.

The forward kernel has some queries of one region and one head; it walks over the region's routes and
over the tokens there with a running softmax, and keeps the logarithm of the softmax's sum. The backward
pass makes the scores again, twice: once by query region for the gradient of the queries, once by
key region, over the query regions that are routed to it, for those of keys and values. Those are
found by sorting the routes, so every gradient has one writer: no atomic additions, the same result
each time.

Scores, softmax and sums are in float32 whatever the type of the tensors; products of float32 are not
rounded to TF32, as they are not on the plain path unless the user says so.

Shapes: see :mod:`.fast`.
"""
# Triton itself gives arguments of kernels their types.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Widest head: blocks of wider ones do not fit into registers.
LARGEST_HEAD = 64
#: Queries and keys at a time in half precision; half of that in single precision.
BLOCK = 64
_WARPS = 4


def supports(query: Tensor, key: Tensor, value: Tensor, heads: int) -> bool:
    """Whether the kernels take these: one type of single or half precision, heads not too wide."""
    return (query.dtype in (torch.float32, torch.float16, torch.bfloat16)
            and query.dtype is key.dtype is value.dtype
            and max(query.shape[-1], value.shape[-1]) <= LARGEST_HEAD * heads
            and min(query.numel(), key.numel(), value.numel()) > 0)


class FusedRoutedAttention(torch.autograd.Function):
    """Attention of ``(N, T, G*D)`` to the blocks ``rows (N, k)`` of ``(M, U, G*D)``; mask ``(M, U)``."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, rows: Tensor, heads: int,
                scale: float, mask: Tensor | None) -> Tensor:
        query, key, value, rows = (x.contiguous() for x in (query, key, value, rows))
        mask = None if mask is None else mask.contiguous().view(torch.uint8)
        regions, tokens, _ = query.shape
        out = query.new_empty(regions, tokens, value.shape[2])
        logsums = torch.empty(regions, heads, tokens, dtype=torch.float32, device=query.device)
        sizes = _sizes(query, key, value, heads)
        blocks = triton.cdiv(tokens, sizes['BLOCK_T'])
        with torch.cuda.device_of(query):
            attend_kernel[regions * blocks, heads](
                query, key, value, rows, key if mask is None else mask, out, logsums, tokens,
                key.shape[1], heads, scale, TOPK=rows.shape[1], MASKED=mask is not None, **sizes,
                num_warps=_WARPS)
        ctx.save_for_backward(query, key, value, rows, mask, out, logsums)
        ctx.heads, ctx.scale = heads, scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, rows, mask, out, logsums = ctx.saved_tensors
        heads, scale, grad = ctx.heads, ctx.scale, grad.contiguous()
        regions, tokens, _ = query.shape
        topk = rows.shape[1]
        # The share of the softmax's normaliser: (N, G, T).
        deltas = (grad.float() * out).unflatten(-1, (heads, -1)).sum(-1).transpose(1, 2).contiguous()
        chosen, order = rows.flatten().sort(stable=True)
        places = torch.arange(len(key) + 1, device=rows.device)
        starts = torch.searchsorted(chosen, places)
        routed = order // topk
        sizes = _sizes(query, key, value, heads)
        options = dict(TOPK=topk, MASKED=mask is not None, **sizes, num_warps=_WARPS)
        flags = key if mask is None else mask
        grad_query, grad_key, grad_value = (torch.empty_like(x) for x in (query, key, value))
        common = (tokens, key.shape[1], heads, scale)
        with torch.cuda.device_of(query):
            attend_query_backward_kernel[regions * triton.cdiv(tokens, sizes['BLOCK_T']), heads](
                query, key, value, rows, flags, logsums, deltas, grad, grad_query, *common, **options)
            del options['TOPK']
            attend_key_backward_kernel[len(key) * triton.cdiv(key.shape[1], sizes['BLOCK_U']), heads](
                query, key, value, routed, starts, flags, logsums, deltas, grad, grad_key, grad_value,
                *common, **options)
        return grad_query, grad_key, grad_value, None, None, None, None


def _sizes(query: Tensor, key: Tensor, value: Tensor, heads: int) -> dict[str, int]:
    """Compile-time sizes: widths of a head and of blocks; a product takes 16 or more."""
    dim, value_dim = query.shape[2] // heads, value.shape[2] // heads
    block = BLOCK // (query.element_size() // 2)

    def power(number: int) -> int:
        return max(16, triton.next_power_of_2(number))

    return dict(DIM=dim, VALUE_DIM=value_dim, DIMS=power(dim), VALUE_DIMS=power(value_dim),
                BLOCK_T=min(block, power(query.shape[1])), BLOCK_U=min(block, power(key.shape[1])))


@triton.jit
def _tile(pointer, region, token, tokens, head, heads, DIM: tl.constexpr, DIMS: tl.constexpr):
    """``(tokens of a block, DIMS)`` of a region and a head; zeros outside."""
    channel = tl.arange(0, DIMS)
    place = ((region * tokens + token[:, None]) * heads + head) * DIM + channel[None, :]
    return tl.load(pointer + place, mask=(token < tokens)[:, None] & (channel < DIM)[None, :], other=0.)


@triton.jit
def _put(pointer, tile, region, token, tokens, head, heads, DIM: tl.constexpr, DIMS: tl.constexpr):
    channel = tl.arange(0, DIMS)
    place = ((region * tokens + token[:, None]) * heads + head) * DIM + channel[None, :]
    tl.store(pointer + place, tile.to(pointer.dtype.element_ty),
             mask=(token < tokens)[:, None] & (channel < DIM)[None, :])


@triton.jit
def _allowed(mask, region, token, tokens, MASKED: tl.constexpr):
    inside = token < tokens
    if MASKED:
        inside = inside & (tl.load(mask + region * tokens + token, mask=inside, other=0) != 0)
    return inside


@triton.jit
def attend_kernel(query, key, value, rows, mask, out, logsums, tokens, key_tokens, heads, scale,
                  TOPK: tl.constexpr, MASKED: tl.constexpr, DIM: tl.constexpr,
                  VALUE_DIM: tl.constexpr, DIMS: tl.constexpr, VALUE_DIMS: tl.constexpr,
                  BLOCK_T: tl.constexpr, BLOCK_U: tl.constexpr):
    """BLOCK_T queries of a region and head; the grid is (regions * blocks of queries, heads)."""
    blocks = tl.cdiv(tokens, BLOCK_T)
    region = (tl.program_id(0) // blocks).to(tl.int64)
    t = (tl.program_id(0) % blocks) * BLOCK_T + tl.arange(0, BLOCK_T)
    head = tl.program_id(1)
    queries = _tile(query, region, t, tokens, head, heads, DIM, DIMS)
    highest = tl.full((BLOCK_T, ), float('-inf'), tl.float32)
    total = tl.zeros((BLOCK_T, ), tl.float32)
    mixed = tl.zeros((BLOCK_T, VALUE_DIMS), tl.float32)
    for route in range(TOPK):
        other = tl.load(rows + region * TOPK + route)
        for start in range(0, key_tokens, BLOCK_U):
            u = start + tl.arange(0, BLOCK_U)
            keys = _tile(key, other, u, key_tokens, head, heads, DIM, DIMS)
            values = _tile(value, other, u, key_tokens, head, heads, VALUE_DIM, VALUE_DIMS)
            allowed = _allowed(mask, other, u, key_tokens, MASKED)
            scores = tl.dot(queries, tl.trans(keys), input_precision='ieee') * scale
            scores = tl.where(allowed[None, :], scores, float('-inf'))
            found = tl.maximum(highest, tl.max(scores, axis=1))
            # Nothing allowed so far: any finite number will do.
            level = tl.where(found == float('-inf'), 0.0, found)
            fade = tl.exp(highest - level)
            parts = tl.exp(scores - level[:, None])
            total = total * fade + tl.sum(parts, axis=1)
            mixed = mixed * fade[:, None] + tl.dot(parts.to(values.dtype), values, input_precision='ieee')
            highest = found
    _put(out, mixed / total[:, None], region, t, tokens, head, heads, VALUE_DIM, VALUE_DIMS)
    tl.store(logsums + (region * heads + head) * tokens + t, highest + tl.log(total), mask=t < tokens)


@triton.jit
def attend_query_backward_kernel(query, key, value, rows, mask, logsums, deltas, grad, grad_query, tokens,
                                 key_tokens, heads, scale, TOPK: tl.constexpr,
                                 MASKED: tl.constexpr, DIM: tl.constexpr, VALUE_DIM: tl.constexpr,
                                 DIMS: tl.constexpr, VALUE_DIMS: tl.constexpr,
                                 BLOCK_T: tl.constexpr, BLOCK_U: tl.constexpr):
    """The gradient of BLOCK_T queries; the grid is that of the forward kernel."""
    blocks = tl.cdiv(tokens, BLOCK_T)
    region = (tl.program_id(0) // blocks).to(tl.int64)
    t = (tl.program_id(0) % blocks) * BLOCK_T + tl.arange(0, BLOCK_T)
    head = tl.program_id(1)
    queries = _tile(query, region, t, tokens, head, heads, DIM, DIMS)
    seen = _tile(grad, region, t, tokens, head, heads, VALUE_DIM, VALUE_DIMS)
    line = (region * heads + head) * tokens + t
    logsum = tl.load(logsums + line, mask=t < tokens, other=0.)
    delta = tl.load(deltas + line, mask=t < tokens, other=0.)
    total = tl.zeros((BLOCK_T, DIMS), tl.float32)
    for route in range(TOPK):
        other = tl.load(rows + region * TOPK + route)
        for start in range(0, key_tokens, BLOCK_U):
            u = start + tl.arange(0, BLOCK_U)
            keys = _tile(key, other, u, key_tokens, head, heads, DIM, DIMS)
            values = _tile(value, other, u, key_tokens, head, heads, VALUE_DIM, VALUE_DIMS)
            allowed = _allowed(mask, other, u, key_tokens, MASKED)
            scores = tl.dot(queries, tl.trans(keys), input_precision='ieee') * scale
            parts = tl.where(allowed[None, :], tl.exp(scores - logsum[:, None]), 0.0)
            slopes = parts * (tl.dot(seen, tl.trans(values), input_precision='ieee') - delta[:, None])
            total += tl.dot(slopes.to(keys.dtype), keys, input_precision='ieee')
    _put(grad_query, total * scale, region, t, tokens, head, heads, DIM, DIMS)


@triton.jit
def attend_key_backward_kernel(query, key, value, routed, starts, mask, logsums, deltas, grad, grad_key,
                               grad_value, tokens, key_tokens, heads, scale, MASKED: tl.constexpr,
                               DIM: tl.constexpr, VALUE_DIM: tl.constexpr, DIMS: tl.constexpr,
                               VALUE_DIMS: tl.constexpr, BLOCK_T: tl.constexpr,
                               BLOCK_U: tl.constexpr):
    """The gradients of BLOCK_U keys and values of a region and head.

    Query regions ``routed[starts[m]:starts[m + 1]]`` attend to key region m. The grid is (key regions *
    blocks of keys, heads).
    """
    blocks = tl.cdiv(key_tokens, BLOCK_U)
    region = (tl.program_id(0) // blocks).to(tl.int64)
    u = (tl.program_id(0) % blocks) * BLOCK_U + tl.arange(0, BLOCK_U)
    head = tl.program_id(1)
    keys = _tile(key, region, u, key_tokens, head, heads, DIM, DIMS)
    values = _tile(value, region, u, key_tokens, head, heads, VALUE_DIM, VALUE_DIMS)
    allowed = _allowed(mask, region, u, key_tokens, MASKED)
    total_key = tl.zeros((BLOCK_U, DIMS), tl.float32)
    total_value = tl.zeros((BLOCK_U, VALUE_DIMS), tl.float32)
    for index in range(tl.load(starts + region), tl.load(starts + region + 1)):
        other = tl.load(routed + index)
        for start in range(0, tokens, BLOCK_T):
            t = start + tl.arange(0, BLOCK_T)
            queries = _tile(query, other, t, tokens, head, heads, DIM, DIMS)
            seen = _tile(grad, other, t, tokens, head, heads, VALUE_DIM, VALUE_DIMS)
            line = (other * heads + head) * tokens + t
            logsum = tl.load(logsums + line, mask=t < tokens, other=0.)
            delta = tl.load(deltas + line, mask=t < tokens, other=0.)
            scores = tl.dot(keys, tl.trans(queries), input_precision='ieee') * scale
            parts = tl.exp(scores - logsum[None, :])
            parts = tl.where(allowed[:, None] & (t < tokens)[None, :], parts, 0.0)
            total_value += tl.dot(parts.to(seen.dtype), seen, input_precision='ieee')
            slopes = parts * (tl.dot(values, tl.trans(seen), input_precision='ieee') - delta[None, :])
            total_key += tl.dot(slopes.to(queries.dtype), queries, input_precision='ieee')
    _put(grad_key, total_key * scale, region, u, key_tokens, head, heads, DIM, DIMS)
    _put(grad_value, total_value, region, u, key_tokens, head, heads, VALUE_DIM, VALUE_DIMS)

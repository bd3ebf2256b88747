"""Routed attention without a k-fold gather in memory and without an attention matrix.

Blocks of keys and values are named by a flat index over (image, region), so that a gather copies
whole rows and its gradient is a sum over rows, in a fixed order on a CPU. When gradients are wanted
on a CPU the gathered copies live only for a group of regions at a time and are made again in the
backward pass; elsewhere autograd keeps them. Where every region is routed nothing is gathered.

Shapes: see :mod:`.reference`; N = B * R query regions, M = B * S key regions.
"""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..kernels import kernel_wanted, tracing

#: Bytes of keys and values gathered at a time by each thread; so much stays in a processor's cache.
CHUNK_BYTES = 4 * 2**20


def routed_attention(query: Tensor,
                     key: Tensor,
                     value: Tensor,
                     routes: Tensor,
                     heads: int,
                     scale: float,
                     weights: Tensor | None = None,
                     mask: Tensor | None = None,
                     triton: bool | None = None) -> Tensor:
    """Attention of each region's queries to all tokens of the regions it is routed to.

    Args:
        query: ``(B, R, T, G*D)``.
        key: ``(B, S, U, G*D)``.
        value: ``(B, S, U, G*E)``.
        routes: ``(B, R, k)`` integers in [0, S), no region twice in a row of k.
        heads: G.
        scale: Factor of the scores.
        weights: ``(B, R, k)`` factors of the routed keys and values (soft routing).
        mask: ``(B, S, U)`` or ``(1, S, U)``, true where a token may be attended to; every query
            region needs at least one such token.
        triton: Use the Triton kernels on a GPU where fewer regions than all are routed, without
            ``weights``; by default as ``MMEXT_TRITON`` says
            (:func:`mmext.ops.kernels.kernel_wanted`), which is: do not.

    Returns:
        ``(B, R, T, G*E)``.
    """
    batch, regions, tokens, _ = query.shape
    values_dim = value.shape[-1] // heads
    query, key, value = _equal_heads(query, key, value, heads)
    if weights is None and routes.shape[-1] == key.shape[1]:
        # The softmax does not mind in which order the regions come.
        out = _attend(query.flatten(1, 2), key.flatten(1, 2), value.flatten(1, 2), heads, scale,
                      None if mask is None else mask.flatten(1)[:, None, None])
    else:
        offsets = torch.arange(query.shape[0], device=routes.device) * key.shape[1]
        rows = (routes + offsets[:, None, None]).flatten(0, 1)
        if mask is not None:
            mask = mask.expand(batch, -1, -1).flatten(0, 1)
        if weights is not None:
            weights = weights.flatten(0, 1)
        out = _attend_rows(query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1), rows, heads,
                           scale, weights, mask, triton)
    out = out.reshape(-1, regions, tokens, out.shape[-1])
    if out.shape[-1] != heads * values_dim:
        out = out.unflatten(-1, (heads, -1))[..., :values_dim].flatten(-2)
    return out


def _equal_heads(query: Tensor, key: Tensor, value: Tensor,
                 heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Zero channels make all heads equally wide, as the fused CPU kernel wants; same result."""
    missing = (value.shape[-1] - query.shape[-1]) // heads
    if missing > 0:
        query, key = (F.pad(x.unflatten(-1, (heads, -1)), (0, missing)).flatten(-2)
                      for x in (query, key))
    elif missing < 0:
        value = F.pad(value.unflatten(-1, (heads, -1)), (0, -missing)).flatten(-2)
    return query, key, value


def _by_head(x: Tensor, heads: int) -> Tensor:
    """``(N, n, G*D) -> (N, G, n, D)``, a view."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _attend(query: Tensor, key: Tensor, value: Tensor, heads: int, scale: float,
            mask: Tensor | None) -> Tensor:
    """``(N, T, G*D), (N, n, G*D), (N, n, G*E) -> (N, T, G*E)``; mask ``(N, 1, 1, n)``."""
    query, key, value = (_by_head(x, heads) for x in (query, key, value))
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    return out.transpose(1, 2).flatten(2)


def _select(x: Tensor, rows: Tensor) -> Tensor:
    """``(M, U, C)`` and ``(N, k)`` to ``(N, k*U, C)``."""
    return x.index_select(0, rows.flatten()).view(-1, rows.shape[1] * x.shape[1], *x.shape[2:])


def _attend_rows(query: Tensor, key: Tensor, value: Tensor, rows: Tensor, heads: int, scale: float,
                 weights: Tensor | None, mask: Tensor | None, triton: bool | None) -> Tensor:
    """Attention of ``(N, T, G*D)`` to the blocks ``rows (N, k)`` of ``(M, U, G*D)``."""
    if weights is None and kernel_wanted(triton, query.device):
        from . import triton_kernels  # only where Triton is installed
        if triton_kernels.supports(query, key, value, heads):
            return triton_kernels.FusedRoutedAttention.apply(query, key, value, rows, heads, scale, mask)
    traced = tracing()
    wants_grad = torch.is_grad_enabled() and any(
        x.requires_grad for x in (query, key, value, weights) if x is not None)
    if not traced and wants_grad and weights is None and query.device.type == 'cpu':
        return _RecomputedGather.apply(query, key, value, rows, heads, scale, mask)
    if traced or wants_grad:
        return _attend_selected(query, key, value, rows, heads, scale, weights, mask)
    parts = [
        _attend_selected(query[part], key, value, rows[part], heads, scale,
                         None if weights is None else weights[part], mask)
        for part in _chunks(rows, key, value)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attend_selected(query: Tensor, key: Tensor, value: Tensor, rows: Tensor, heads: int,
                     scale: float, weights: Tensor | None, mask: Tensor | None) -> Tensor:
    keys, values = _select(key, rows), _select(value, rows)
    if weights is not None:
        factors = weights.to(keys.dtype).repeat_interleave(key.shape[1], dim=1).unsqueeze(-1)
        keys, values = keys * factors, values * factors
    allowed = None if mask is None else _select(mask, rows)[:, None, None]
    return _attend(query, keys, values, heads, scale, allowed)


def _chunks(rows: Tensor, key: Tensor, value: Tensor) -> list[slice]:
    """Groups of query regions whose gathered keys and values take CHUNK_BYTES a thread."""
    region = rows.shape[1] * key.shape[1] * (key.shape[2] + value.shape[2]) * key.element_size()
    size = max(1, CHUNK_BYTES * torch.get_num_threads() // region)
    return [slice(start, start + size) for start in range(0, len(rows), size)]


class _RecomputedGather(torch.autograd.Function):
    """Routed attention on a CPU that saves what plain attention would, not the gathered copies."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, rows: Tensor, heads: int,
                scale: float, mask: Tensor | None) -> Tensor:
        attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        outs, sums = [], []
        for part in _chunks(rows, key, value):
            keys, values, allowed = _gathered(key, value, rows[part], heads, mask)
            out, logsumexp = attend(_by_head(query[part], heads), keys, values, 0., False,
                                    attn_mask=allowed, scale=scale)
            outs.append(out.transpose(1, 2).flatten(2))
            sums.append(logsumexp)
        out = outs[0] if len(outs) == 1 else torch.cat(outs)
        ctx.save_for_backward(query, key, value, rows, mask, out, *sums)
        ctx.heads, ctx.scale = heads, scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, rows, mask, out, *sums = ctx.saved_tensors
        attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        grad_query = torch.empty_like(query)
        grad_key, grad_value = torch.zeros_like(key), torch.zeros_like(value)
        for part, logsumexp in zip(_chunks(rows, key, value), sums):
            keys, values, allowed = _gathered(key, value, rows[part], ctx.heads, mask)
            ours, *theirs = attend(
                *(_by_head(x, ctx.heads) for x in (grad[part], query[part])), keys, values,
                _by_head(out[part], ctx.heads), logsumexp, 0., False, attn_mask=allowed,
                scale=ctx.scale)
            grad_query[part] = ours.transpose(1, 2).flatten(2)
            index = rows[part].flatten()
            for total, selected in zip((grad_key, grad_value), theirs):
                total.index_add_(0, index, selected.transpose(1, 2).reshape(-1, *total.shape[1:]))
        return grad_query, grad_key, grad_value, None, None, None, None


def _gathered(key: Tensor, value: Tensor, rows: Tensor, heads: int,
              mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Keys and values by head, and the additive mask, of the blocks ``rows``."""
    keys, values = (_by_head(_select(x, rows), heads) for x in (key, value))
    if mask is None:
        return keys, values, None
    allowed = _select(mask, rows)[:, None, None]
    return keys, values, torch.zeros_like(allowed, dtype=key.dtype).masked_fill_(
        ~allowed, float('-inf'))

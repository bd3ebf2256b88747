"""Windows of a map and attention inside them; see :mod:`.block`.

A close window is a contiguous block; a remote one holds every ``rows``-th row and ``cols``-th
column, a lattice over the whole map. Shapes: B batch, G heads, D channels of a head, H and W size
of the map, ``rows x cols`` windows of P x P' pixels, T = P * P' tokens, S spans,
N = S * B * rows * cols windows in all, span by span.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Span = Literal['remote', 'close']

#: Tokens of a window up to which a CPU is faster with a matrix of attention weights than without.
SMALL_WINDOW = 256


def to_windows(x: Tensor, heads: int, rows: int, cols: int, spans: Sequence[Span]) -> Tensor:
    """The windows of all spans, ``(B, G*D, H, W) -> (N, G, T, D)``."""
    if _is_traced():
        parts = [_view(x, heads, rows, cols, span).flatten(4, 5).flatten(0, 2) for span in spans]
        return torch.cat(parts)
    return _ToWindows.apply(x, heads, rows, cols, tuple(spans))


def from_windows(x: Tensor, rows: int, cols: int, size: tuple[int, int],
                 spans: Sequence[Span]) -> Tensor:
    """The adjoint of :func:`to_windows`: put back and summed over spans, ``(B, G*D, H, W)``."""
    if _is_traced():
        maps = [_put_back(part, rows, cols, size, span)
                for part, span in zip(x.chunk(len(spans)), spans)]
        return sum(maps[1:], maps[0])
    return _FromWindows.apply(x, rows, cols, size, tuple(spans))


def window_attention(query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
    """Attention in every window, ``(N, G, T, D), (N, G, T, D), (N, G, T, E) -> (N, G, T, E)``."""
    if query.is_cuda or dropout > 0. or query.shape[2] > SMALL_WINDOW:
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    # A CPU's fused kernel wants values as wide as queries, and these are wider.
    weights = (query * query.shape[-1]**-0.5 @ key.transpose(-2, -1)).softmax(dim=-1)
    return weights @ value


def _is_traced() -> bool:
    return (torch.compiler.is_compiling() or torch.jit.is_tracing()
            or torch.onnx.is_in_onnx_export())


def _view(x: Tensor, heads: int, rows: int, cols: int, span: Span) -> Tensor:
    """``(B, G*D, H, W)`` seen as windows, ``(B, rows, cols, G, P, P', D)``."""
    channels, height, width = x.shape[1:]
    dim, high, wide = channels // heads, height // rows, width // cols
    if span == 'close':
        return x.view(-1, heads, dim, rows, high, cols, wide).permute(0, 3, 5, 1, 4, 6, 2)
    return x.view(-1, heads, dim, high, rows, wide, cols).permute(0, 4, 6, 1, 3, 5, 2)


def _put_back(x: Tensor, rows: int, cols: int, size: tuple[int, int], span: Span) -> Tensor:
    """The windows of one span, ``(B * rows * cols, G, T, D)``, as a map."""
    high, wide = size[0] // rows, size[1] // cols
    x = x.reshape(-1, rows, cols, x.shape[1], high, wide, x.shape[3])
    x = x.permute((0, 1, 4, 2, 5, 3, 6) if span == 'close' else (0, 4, 1, 5, 2, 3, 6))
    return x.flatten(5, 6).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def _gather(x: Tensor, heads: int, rows: int, cols: int, spans: Sequence[Span]) -> Tensor:
    batch, channels, height, width = x.shape
    out = x.new_empty(len(spans), batch, rows, cols, heads, height // rows, width // cols,
                      channels // heads)
    for part, span in zip(out, spans):
        part.copy_(_view(x, heads, rows, cols, span))
    return out.flatten(5, 6).flatten(0, 3)


def _scatter(x: Tensor, rows: int, cols: int, size: tuple[int, int],
             spans: Sequence[Span]) -> Tensor:
    heads, dim = x.shape[1], x.shape[3]
    windows = x.reshape(len(spans), -1, rows, cols, heads, size[0] // rows, size[1] // cols, dim)
    out = torch.empty(windows.shape[1], heads * dim, *size, dtype=x.dtype, device=x.device,
        memory_format=torch.channels_last)
    for i, (part, span) in enumerate(zip(windows, spans)):
        target = _view(out, heads, rows, cols, span)
        target.copy_(part) if i == 0 else target.add_(part)
    return out


class _ToWindows(torch.autograd.Function):
    """One copy a span; the gradient has channels last in memory, whatever order it came in."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, heads: int, rows: int, cols: int,
                spans: tuple[Span, ...]) -> Tensor:
        ctx.layout = rows, cols, tuple(x.shape[2:]), spans
        return _gather(x, heads, rows, cols, spans)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _scatter(grad, *ctx.layout), None, None, None, None


class _FromWindows(torch.autograd.Function):
    """The adjoint of :class:`_ToWindows`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: int, cols: int, size: tuple[int, int],
                spans: tuple[Span, ...]) -> Tensor:
        ctx.layout = x.shape[1], rows, cols, spans
        return _scatter(x, rows, cols, size, spans)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _gather(grad, *ctx.layout), None, None, None, None

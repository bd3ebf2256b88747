"""Depth-wise convolution whose weight gradient is fast on a CPU.

oneDNN has a fast kernel for the weight gradient of kernels up to three columns wide without much
padding; others take four to fifteen times as long. Here the gradient of a wider kernel is put
together from narrow ones, side by side, over an input that is padded beforehand.

Shapes: B batch, C channels, H and W size of the input, K and L of the kernel, O and P of the output.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

#: Columns of the widest kernel that is fast.
NARROW = 3
#: Bytes of the input worked on at a time; so much stays in a processor's cache.
CHUNK_BYTES = 4 * 2**20


class DepthwiseConv2d(nn.Conv2d):
    """Depth-wise convolution, ``(B, C, H, W) -> (B, C, O, P)``; parameters are those of ``Conv2d``.

    Args:
        channels: C.
        kernel_size: Side of the kernel.
        stride: Of the output.
        padding: Zeros at each side; by default half of the kernel.
        bias: Whether there is a bias.
    """

    def __init__(self, channels: int, kernel_size: int, stride: int = 1, padding: int | None = None,
                 bias: bool = True) -> None:
        super().__init__(channels, channels, kernel_size, stride,
                         kernel_size // 2 if padding is None else padding, groups=channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if not _worthwhile(x, self.weight):
            return super().forward(x)
        return _DepthwiseConv2d.apply(x, self.weight, self.bias, self.stride[0], self.padding[0])


def _worthwhile(x: Tensor, weight: Tensor) -> bool:
    """Whether a gradient will be wanted that torch computes slowly."""
    return (weight.shape[3] > NARROW and x.device.type == 'cpu'
            and x.dtype in (torch.float32, torch.float64) and weight.requires_grad and torch.is_grad_enabled()
            and not torch.is_autocast_enabled('cpu') and not torch.compiler.is_compiling()
            and not torch.jit.is_tracing() and not torch.onnx.is_in_onnx_export())


class _DepthwiseConv2d(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int,
                padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, bias, stride, padding, groups=weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        grad = grad.contiguous(memory_format=torch.channels_last)
        grad_x = grad_weight = grad_bias = None
        if wants_x:
            grad_x = torch.ops.aten.convolution_backward(
                grad, x, weight, None, [ctx.stride] * 2, [ctx.padding] * 2, [1, 1], False, [0, 0],
                weight.shape[0], [True, False, False])[0]
        if wants_weight:
            grad_weight = weight_gradient(x, grad, tuple(weight.shape[2:]), ctx.stride, ctx.padding)
        if wants_bias:
            grad_bias = grad.sum(dim=(0, 2, 3))
        return grad_x, grad_weight, grad_bias, None, None


def weight_gradient(x: Tensor, grad: Tensor, kernel: tuple[int, int], stride: int,
                    padding: int) -> Tensor:
    """The gradient of a depth-wise convolution's weight.

    Args:
        x: The input ``(B, C, H, W)``.
        grad: Gradient of the output ``(B, C, O, P)``.
        kernel: K and L.
        stride: Of the convolution.
        padding: Zeros at each side of the input.

    Returns:
        ``(C, 1, K, L)``.
    """
    columns = min(NARROW, kernel[1])
    out = x.new_zeros(x.shape[1], 1, *kernel)
    for seen, wanted in _chunks(x, grad, kernel, stride, padding):
        for start in range(0, kernel[1], NARROW):
            first = min(start, kernel[1] - columns)
            # A narrow convolution sees what the columns from `first` on see in outputs `shift`
            # pixels further to the right; in its other outputs the gradient is zero.
            pad = -first % stride
            shift = (first + pad) // stride
            width = (seen.shape[3] + 2 * pad - columns) // stride + 1
            part = torch.ops.aten.convolution_backward(
                F.pad(wanted, (shift, width - wanted.shape[3] - shift)), seen,
                x.new_empty(len(out), 1, kernel[0], columns), None, [stride] * 2, [0, pad], [1, 1],
                False, [0, 0], len(out), [False, True, False])[1]
            # Two parts may share columns.
            out[..., start:first + columns] += part[..., start - first:]
    return out


def _chunks(x: Tensor, grad: Tensor, kernel: tuple[int, int], stride: int,
            padding: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Pieces of the padded input and of the gradient that belong together, small enough."""
    batch, channels, height, _ = x.shape
    rows = grad.shape[2]
    row_bytes = channels * x.shape[3] * stride * x.element_size()
    images = min(batch, max(1, CHUNK_BYTES // (row_bytes * rows)))
    lines = rows if images > 1 else min(rows, max(8, CHUNK_BYTES // row_bytes))
    for image in range(0, batch, images):
        for line in range(0, rows, lines):
            last = min(line + lines, rows)
            top, bottom = line * stride - padding, (last - 1) * stride - padding + kernel[0]
            first, end = (min(max(row, 0), height) for row in (top, bottom))
            before = min(max(-top, 0), bottom - top)
            after = bottom - top - before - (end - first)
            seen = F.pad(x[image:image + images, :, first:end], (padding, padding, before, after))
            yield seen, grad[image:image + images, :, line:last]

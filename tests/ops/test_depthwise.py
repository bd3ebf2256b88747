"""Depth-wise convolution: the same as torch's, gradients included."""
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mmext.ops import depthwise
from mmext.ops.depthwise import DepthwiseConv2d, weight_gradient


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kernel=st.tuples(st.integers(1, 6), st.integers(1, 8)),
       stride=st.integers(1, 3), padding=st.integers(0, 3), batch=st.integers(1, 3),
       chunk=st.sampled_from([1, 2000, 2**22]))
def test_weight_gradient_is_that_of_torch(data, kernel, stride, padding, batch, chunk) -> None:
    height, width = (data.draw(st.integers(max(k - 2 * padding, 1), 24)) for k in kernel)
    torch.manual_seed(0)
    x = torch.rand(batch, 3, height, width, dtype=torch.double)
    weight = torch.rand(3, 1, *kernel, dtype=torch.double, requires_grad=True)
    out = F.conv2d(x, weight, None, stride, padding, groups=3)
    grad = torch.rand_like(out)
    out.backward(grad)
    usual, depthwise.CHUNK_BYTES = depthwise.CHUNK_BYTES, chunk
    try:
        ours = weight_gradient(x, grad, kernel, stride, padding)
    finally:
        depthwise.CHUNK_BYTES = usual
    torch.testing.assert_close(ours, weight.grad)


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('stride', [1, 2])
def test_layer_equals_a_convolution(stride: int, bias: bool) -> None:
    torch.manual_seed(0)
    ours = DepthwiseConv2d(8, 5, stride, bias=bias)
    theirs = nn.Conv2d(8, 8, 5, stride, 2, groups=8, bias=bias)
    theirs.load_state_dict(ours.state_dict())
    found = []
    for layer in (ours, theirs):
        x = torch.rand(2, 8, 13, 18, generator=torch.Generator().manual_seed(1), requires_grad=True)
        out = layer(x)
        out.square().sum().backward()
        found.append((out, x.grad, *(p.grad for p in layer.parameters())))
    for one, other in zip(*found):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert _kind(ours(x)) == '_DepthwiseConv2dBackward'


def _kind(out: torch.Tensor) -> str:
    assert out.grad_fn is not None
    return type(out.grad_fn).__name__


def test_other_cases_stay_with_torch() -> None:
    x = torch.rand(1, 4, 9, 9, requires_grad=True)
    assert 'Convolution' in _kind(DepthwiseConv2d(4, 3)(x))
    frozen = DepthwiseConv2d(4, 5).requires_grad_(False)
    assert 'Convolution' in _kind(frozen(x))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert DepthwiseConv2d(4, 5)(x).dtype == torch.bfloat16

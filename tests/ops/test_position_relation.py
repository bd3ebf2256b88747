"""The position relation in chunks equals the plain formula, and keeps what geometry says."""
from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmext.ops.position_relation import box_differences, fast, position_relation, position_relation_reference


def _inputs(batch: int, rows: int, columns: int, heads: int, count: int,
            seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    draw = dict(dtype=torch.float64)
    return (torch.rand(batch, rows, 4, **draw), torch.rand(batch, columns, 4, **draw),
            torch.randn(heads, 8 * count, **draw) / 5, torch.randn(heads, **draw))


@settings(max_examples=40, deadline=None)
@given(batch=st.integers(0, 3), rows=st.integers(0, 12), columns=st.integers(0, 9),
       heads=st.integers(1, 4), count=st.integers(1, 8), masked=st.booleans(),
       chunk=st.sampled_from([1, 3000, 2**21]), seed=st.integers(0, 99))
def test_equals_the_reference(batch: int, rows: int, columns: int, heads: int, count: int, masked: bool,
                              chunk: int, seed: int) -> None:
    src, tgt, weight, bias = _inputs(batch, rows, columns, heads, count, seed)
    mask = torch.rand(rows, columns) < 0.3 if masked else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fast.CHUNK_BYTES, 'cpu', chunk)
        found = []
        for relate in (position_relation, position_relation_reference):
            w, b = weight.clone().requires_grad_(), bias.clone().requires_grad_()
            out = relate(src, tgt, w, b, mask=mask)
            visible = out if mask is None else out.masked_fill(mask, 0)
            (visible * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
            found.append((out.detach(), w.grad, b.grad))
    for ours, theirs in zip(*found):
        torch.testing.assert_close(ours, theirs)


def test_gradients() -> None:
    src, tgt, weight, bias = _inputs(2, 5, 4, 3, 2)
    weight.requires_grad_()
    bias.requires_grad_()
    assert torch.autograd.gradcheck(lambda w, b: position_relation(src, tgt, w, b), (weight, bias))


def test_boxes_get_no_gradient() -> None:
    src, tgt, weight, bias = _inputs(1, 5, 4, 3, 2)
    out = position_relation(src.requires_grad_(), tgt, weight.requires_grad_(), bias)
    out.sum().backward()
    assert src.grad is None


@settings(max_examples=25, deadline=None)
@given(st.floats(0.1, 10), st.floats(-3, 3), st.floats(-3, 3))
def test_only_relative_geometry_counts(factor: float, dx: float, dy: float) -> None:
    """Moved together nothing changes; scaled together next to nothing (a constant is added to sizes)."""
    src, tgt, weight, bias = _inputs(2, 6, 6, 2, 4)
    src, tgt = src + 0.1, tgt + 0.1  # no tiny boxes
    shift = torch.tensor([dx, dy, 0, 0], dtype=src.dtype)
    expected = position_relation(src, tgt, weight, bias)
    torch.testing.assert_close(position_relation(src + shift, tgt + shift, weight, bias), expected,
                               atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(box_differences(src * factor, tgt * factor), box_differences(src, tgt),
                               atol=1e-3, rtol=1e-3)


def test_boxes_without_extent() -> None:
    boxes = torch.tensor([[[0.5, 0.5, 0., 0.], [0.5, 0.5, 1., 1.], [0., 0., 0., 0.2]]])
    weight, bias = torch.randn(4, 64).requires_grad_(), torch.randn(4).requires_grad_()
    out = position_relation(boxes, boxes, weight, bias)
    out.sum().backward()
    assert all(torch.isfinite(x).all() for x in (out, weight.grad, bias.grad))


def _noting_bytes(sizes: list[int], x: Tensor) -> Tensor:
    sizes.append(x.numel() * x.element_size())
    return x


def test_keeps_no_features_of_pairs() -> None:
    """Of a pair autograd saves a byte for each head, where the plain form saves all features."""
    saved = {}
    for relate in (position_relation, position_relation_reference):
        src, tgt, weight, bias = _inputs(1, 200, 200, 8, 8)
        sizes: list[int] = []
        keep = functools.partial(_noting_bytes, sizes)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            relate(src, tgt, weight.requires_grad_(), bias)
        saved[relate] = sum(sizes)
    assert saved[position_relation] < 200 * 200 * 8 * 1.5
    assert saved[position_relation_reference] > 200 * 200 * 64 * 8

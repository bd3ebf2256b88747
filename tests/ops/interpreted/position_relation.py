"""Run by test_triton_kernels.py under Triton's interpreter: the fused position relation."""
from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import mmext  # noqa: F401
from mmext.models.layers.position_relation import PositionRelation
from mmext.ops.position_relation import position_relation, position_relation_reference, triton_kernels


@pytest.fixture(autouse=True)
def _kernels_run(monkeypatch: pytest.MonkeyPatch):
    """The kernels are what is tested: nothing falls back to the plain path."""
    calls = []
    forward = triton_kernels.FusedPositionRelation.forward
    monkeypatch.setattr(triton_kernels.FusedPositionRelation, 'forward',
                        staticmethod(lambda *args: calls.append(1) or forward(*args)))
    yield
    assert calls


def _inputs(batch: int, rows: int, columns: int, heads: int, count: int, sides: int = 4,
            seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    scale = torch.tensor([1, 1, 0.3, 0.3, 3][:sides])
    low = torch.tensor([0, 0, 0.02, 0.02, -1.5][:sides])
    return (torch.rand(batch, rows, sides) * scale + low, torch.rand(batch, columns, sides) * scale + low,
            (torch.rand(heads, 8 * count) * 2 - 1) / (8 * count)**0.5, torch.rand(heads) - 0.3)


def _denoising(groups: int, size: int, matching: int) -> Tensor:
    """True where attention is forbidden."""
    group = torch.arange(groups * size + matching) // size
    group[groups * size:] = groups
    mask = (group[:, None] != group) & ((group != groups) | (group[:, None] == groups))
    mask[:groups * size, groups * size:] = False
    return mask


def _results(relate, inputs: tuple[Tensor, ...], mask: Tensor | None, dtype: torch.dtype,
             **kwargs) -> list[Tensor]:
    src, tgt, weight, bias = (x.to(dtype, copy=True) for x in inputs)
    weight.requires_grad_()
    bias.requires_grad_()
    out = relate(src, tgt, weight, bias, mask=mask, **kwargs)
    if mask is not None:
        assert out.masked_select(mask).isneginf().all()
        out = out.masked_fill(mask, 0)
    factors = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view_as(out).to(dtype)
    (out * factors).sum().backward()
    return [out.detach(), weight.grad, bias.grad]


def _assert_close(ours: list[Tensor], theirs: list[Tensor], tolerance: float) -> None:
    """Differences relative to the largest value, if that is over 1."""
    for one, other in zip(ours, theirs, strict=True):
        largest = float(other.double().abs().max()) if other.numel() else 0.
        torch.testing.assert_close(one.double(), other.double(), rtol=0,
                                   atol=tolerance * max(largest, 1.))


@pytest.mark.parametrize('heads, rows, columns, count, sides', [
    (4, 11, 13, 8, 4), (8, 27, 27, 8, 4), (16, 11, 13, 8, 4), (8, 5, 29, 8, 5), (1, 23, 17, 1, 4),
    (3, 9, 14, 5, 4), (4, 16, 8, 16, 4)])
def test_equals_the_plain_path(heads: int, rows: int, columns: int, count: int, sides: int) -> None:
    inputs = _inputs(2, rows, columns, heads, count, sides)
    fused = _results(position_relation, inputs, None, torch.float32, triton=True)
    plain = _results(position_relation, inputs, None, torch.float32, triton=False)
    _assert_close(fused, plain, 1e-5)
    _assert_close(fused, _results(position_relation_reference, inputs, None, torch.float64), 1e-5)


@pytest.mark.parametrize('heads', [4, 16])
def test_denoising_groups(heads: int) -> None:
    mask = _denoising(2, 3, 7)
    inputs = _inputs(1, 13, 13, heads, 8)
    _assert_close(_results(position_relation, inputs, mask, torch.float32, triton=True),
                  _results(position_relation, inputs, mask, torch.float32, triton=False), 1e-5)
    # An expanded, transposed mask: the kernel reads it as rows and columns all the same.
    _assert_close(_results(position_relation, inputs, mask.T.contiguous().T, torch.float32, triton=True),
                  _results(position_relation_reference, inputs, mask, torch.float64), 1e-5)


@pytest.mark.parametrize('dtype, tolerance', [(torch.float16, 2e-3), (torch.bfloat16, 1.6e-2)])
def test_half_precision_is_that_of_the_result(dtype: torch.dtype, tolerance: float) -> None:
    inputs = tuple(x.to(dtype) for x in _inputs(1, 11, 12, 8, 8))
    fused = _results(position_relation, inputs, None, dtype, triton=True)
    assert all(x.dtype is dtype for x in fused)
    _assert_close(fused, _results(position_relation, inputs, None, dtype, triton=False), tolerance)
    _assert_close(fused[:1], _results(position_relation_reference, inputs, None, torch.float64)[:1],
                  tolerance)


@settings(max_examples=6, deadline=None)
@given(batch=st.integers(1, 3), rows=st.integers(1, 24), columns=st.integers(1, 24),
       heads=st.integers(1, 9), count=st.integers(1, 9), sides=st.sampled_from([4, 5]),
       masked=st.booleans(), temperature=st.sampled_from([20., 10000.]), seed=st.integers(0, 99))
def test_any_size(batch: int, rows: int, columns: int, heads: int, count: int, sides: int, masked: bool,
                  temperature: float, seed: int) -> None:
    inputs = _inputs(batch, rows, columns, heads, count, sides, seed)
    mask = torch.rand(rows, columns) < 0.3 if masked else None
    options = dict(temperature=temperature, scale=30.)
    _assert_close(_results(position_relation, inputs, mask, torch.float32, triton=True, **options),
                  _results(position_relation_reference, inputs, mask, torch.float64, **options), 1e-5)


def test_boxes_without_extent_and_far_apart() -> None:
    """Phases of a thousand: the error is that of single precision, not more than the plain path's."""
    _, _, weight, bias = _inputs(1, 1, 1, 8, 8)
    boxes = torch.tensor([[[0.5, 0.5, 0., 0.], [0.5, 0.5, 1., 1.], [0., 0., 0., 0.2], [1e3, 5., 1e-4, 9.]]])
    inputs = boxes, boxes.flip(1), weight, bias
    exact = _results(position_relation_reference, inputs, None, torch.float64)
    worst = []
    for triton in (True, False):
        found = _results(position_relation, inputs, None, torch.float32, triton=triton)
        worst.append(max(float((a - b).abs().max()) for a, b in zip(found, exact)))
    assert worst[0] <= max(2 * worst[1], 1e-5)


def test_what_is_not_a_number_stays_so() -> None:
    src, tgt, weight, bias = _inputs(1, 3, 3, 4, 8)
    src[0, 1, 0] = float('nan')
    out = position_relation(src, tgt, weight, bias, triton=True)
    assert out[:, :, 1].isnan().all() and out[:, :, [0, 2]].isfinite().all()


def test_gradients_of_expanded_and_strided_results() -> None:
    src, tgt, weight, bias = _inputs(2, 8, 9, 8, 8)
    for prepare in (lambda out: out.sum(), lambda out: out.transpose(1, 3)[:, ::2].cos().sum()):
        found = []
        for triton in (True, False):
            w, b = weight.clone().requires_grad_(), bias.clone().requires_grad_()
            prepare(position_relation(src, tgt, w, b, triton=triton)).backward()
            found.append([w.grad, b.grad])
        _assert_close(*found, 1e-5)


def test_gradients_are_the_same_every_time_and_boxes_get_none() -> None:
    inputs = _inputs(2, 9, 9, 8, 8)
    first, second = (_results(position_relation, inputs, None, torch.float32, triton=True)
                     for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second))
    src, tgt, weight, bias = inputs
    position_relation(src.requires_grad_(), tgt, weight.requires_grad_(), bias, triton=True).sum().backward()
    assert src.grad is None


def test_several_blocks_of_pairs_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pairs: a program of the backward kernel walks over several blocks of them."""
    monkeypatch.setattr(triton_kernels, 'CHUNKS', 3)
    inputs = _inputs(1, 33, 35, 4, 4)
    _assert_close(_results(position_relation, inputs, None, torch.float32, triton=True),
                  _results(position_relation_reference, inputs, None, torch.float64), 1e-5)


def test_the_module_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MMEXT_TRITON', '1')
    torch.manual_seed(0)
    module, boxes = PositionRelation(num_heads=4, embed_dims=6), torch.rand(2, 9, 4)
    by_variable = module(boxes)
    monkeypatch.delenv('MMEXT_TRITON')
    by_argument = PositionRelation(num_heads=4, embed_dims=6, triton=True)
    by_argument.load_state_dict(module.state_dict())
    assert torch.equal(by_argument(boxes), by_variable)
    torch.testing.assert_close(module(boxes), by_variable, atol=1e-5, rtol=1e-5)

"""Run by test_triton_kernels.py under Triton's interpreter: routed attention in place."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

import mmext  # noqa: F401
from mmext.models.backbones.biformer import BiLevelRoutingAttention
from mmext.ops.bra import routed_attention, routed_attention_reference, triton_kernels


@pytest.fixture(autouse=True)
def _kernels_run(monkeypatch: pytest.MonkeyPatch):
    """The kernels are what is tested: nothing falls back to the plain path."""
    calls = []
    forward = triton_kernels.FusedRoutedAttention.forward
    monkeypatch.setattr(triton_kernels.FusedRoutedAttention, 'forward',
                        staticmethod(lambda *args: calls.append(1) or forward(*args)))
    monkeypatch.setattr(InterpreterBuilder, 'create_dot', _create_dot)
    yield
    assert calls


def _create_dot(builder: Any, a: Any, b: Any, d: Any, *_: Any) -> Any:
    """A product of bfloat16 too: the interpreter's own multiplies their bits as if they were integers."""
    left, right = ((x.data.astype(np.uint32) << 16).view(np.float32) if x.dtype.scalar == tl.bfloat16
                   else x.data for x in (a, b))
    return TensorHandle(np.matmul(left, right, dtype=d.data.dtype) + d.data, d.dtype.scalar)


def _inputs(seed: int, batch: int, regions: int, key_regions: int, tokens: int, key_tokens: int,
            topk: int, heads: int, widths: tuple[int, int], masked: bool) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    mask = None
    if masked:
        mask = torch.rand(1, key_regions, key_tokens, generator=generator) > 0.5
        mask[..., -1] = True
    return dict(
        query=draw(batch, regions, tokens, heads * widths[0]),
        key=draw(batch, key_regions, key_tokens, heads * widths[0]),
        value=draw(batch, key_regions, key_tokens, heads * widths[1]),
        routes=torch.rand(batch, regions, key_regions, generator=generator).topk(topk).indices,
        heads=heads, scale=0.3, mask=mask)


def _results(function: Any, inputs: dict[str, Any], dtype: torch.dtype, **options: Any) -> list[Tensor]:
    wanted = [inputs[name].to(dtype, copy=True).requires_grad_() for name in ('query', 'key', 'value')]
    rest = {name: value for name, value in inputs.items() if name not in ('query', 'key', 'value')}
    out = function(*wanted, **rest, **options)
    factors = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view_as(out).to(dtype)
    return [out.detach(), *torch.autograd.grad((out * factors).sum(), wanted)]


def _assert_close(ours: list[Tensor], theirs: list[Tensor], tolerance: float) -> None:
    """Differences relative to the largest value."""
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=0,
                                   atol=tolerance * max(float(other.abs().max()), 1.))


@pytest.mark.parametrize('tokens, key_tokens, heads, widths, masked', [
    (5, 3, 4, (4, 6), True), (37, 33, 1, (32, 32), False), (3, 33, 1, (17, 8), True),
    (1, 1, 2, (40, 24), False)])
def test_equals_the_plain_path(tokens: int, key_tokens: int, heads: int, widths: tuple[int, int],
                               masked: bool) -> None:
    inputs = _inputs(0, 1, 2, 3, tokens, key_tokens, 2, heads, widths, masked)
    fused = _results(routed_attention, inputs, torch.float32, triton=True)
    _assert_close(fused, _results(routed_attention, inputs, torch.float32, triton=False), 1e-5)
    _assert_close(fused, _results(routed_attention_reference, inputs, torch.float64), 1e-5)


@settings(max_examples=5, deadline=None)
@given(st.data())
def test_any_size(data: st.DataObject) -> None:
    key_regions = data.draw(st.integers(2, 5), 'key_regions')
    inputs = _inputs(
        data.draw(st.integers(0, 99), 'seed'), data.draw(st.integers(1, 2), 'batch'),
        data.draw(st.integers(1, 4), 'regions'), key_regions, data.draw(st.integers(1, 20), 'tokens'),
        data.draw(st.integers(1, 20), 'key_tokens'), data.draw(st.integers(1, key_regions - 1), 'topk'),
        data.draw(st.integers(1, 3), 'heads'),
        data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)), 'widths'),
        data.draw(st.booleans(), 'masked'))
    _assert_close(_results(routed_attention, inputs, torch.float32, triton=True),
                  _results(routed_attention_reference, inputs, torch.float64), 1e-5)


@pytest.mark.parametrize('dtype, tolerance', [(torch.float16, 2e-3), (torch.bfloat16, 1.6e-2)])
def test_half_precision(dtype: torch.dtype, tolerance: float) -> None:
    inputs = _inputs(1, 1, 2, 3, 19, 18, 2, 1, (16, 16), True)
    for name in ('query', 'key', 'value'):
        inputs[name] = inputs[name].to(dtype)
    fused = _results(routed_attention, inputs, dtype, triton=True)
    assert all(x.dtype is dtype for x in fused)
    _assert_close(fused, _results(routed_attention_reference, inputs, torch.float64), tolerance)


def test_region_that_nobody_is_routed_to_gets_no_gradient() -> None:
    inputs = _inputs(2, 1, 3, 4, 4, 5, 2, 2, (8, 8), False)
    inputs['routes'] = torch.tensor([[[0, 1], [1, 3], [3, 0]]])
    _, _, key, value = _results(routed_attention, inputs, torch.float32, triton=True)
    assert not key[:, 2].any() and not value[:, 2].any() and key[:, [0, 1, 3]].any()


def test_large_scores_and_gradients_the_same_every_time() -> None:
    inputs = _inputs(3, 1, 2, 3, 6, 6, 2, 2, (8, 8), True)
    inputs['query'] = inputs['query'] * 300
    first, second = (_results(routed_attention, inputs, torch.float32, triton=True) for _ in range(2))
    assert all(torch.equal(a, b) and a.isfinite().all() for a, b in zip(first, second))
    _assert_close(first[:1], _results(routed_attention_reference, inputs, torch.float64)[:1], 1e-3)


def test_the_layer_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer = BiLevelRoutingAttention(16, num_heads=2, n_win=2, topk=2, side_dwconv=3, auto_pad=True)
    x = torch.randn(1, 7, 9, 16)
    found = []
    for value in '10':
        monkeypatch.setenv('MMEXT_TRITON', value)
        layer.zero_grad()
        out = layer(x)
        out.square().sum().backward()
        found.append([out.detach(), *(parameter.grad.clone() for parameter in layer.parameters())])
    _assert_close(*found, 1e-5)

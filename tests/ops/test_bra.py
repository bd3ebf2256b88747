"""Routed attention: the fast paths give what the definition gives, in any mode."""
from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmext.ops.bra import fast, merge_regions, routed_attention, routed_attention_reference, split_regions


def _inputs(seed: int, batch: int, regions: int, tokens: int, key_tokens: int, topk: int,
            heads: int, widths: tuple[int, int], soft: bool, masked: bool) -> dict:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.double).requires_grad_()

    mask = None
    if masked:
        mask = torch.rand(1, regions, key_tokens, generator=generator) > 0.5
        mask[..., 0] = True
    return dict(
        query=draw(batch, regions, tokens, heads * widths[0]),
        key=draw(batch, regions, key_tokens, heads * widths[0]),
        value=draw(batch, regions, key_tokens, heads * widths[1]),
        routes=torch.rand(batch, regions, regions, generator=generator).topk(topk).indices,
        heads=heads, scale=0.3, weights=draw(batch, regions, topk) if soft else None, mask=mask)


def _results(function, inputs: dict) -> list[Tensor]:
    wanted = [x for x in inputs.values() if isinstance(x, Tensor) and x.requires_grad]
    out = function(**inputs)
    factors = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return [out.detach(), *torch.autograd.grad((out * factors).sum(), wanted)]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_equals_the_definition(data: st.DataObject) -> None:
    regions = data.draw(st.integers(1, 6), 'regions')
    inputs = _inputs(
        data.draw(st.integers(0, 99), 'seed'), data.draw(st.integers(1, 3), 'batch'), regions,
        data.draw(st.integers(1, 5), 'tokens'), data.draw(st.integers(1, 5), 'key_tokens'),
        data.draw(st.integers(1, regions), 'topk'), data.draw(st.integers(1, 3), 'heads'),
        data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)), 'widths'),
        data.draw(st.booleans(), 'soft'), data.draw(st.booleans(), 'masked'))
    chunk = fast.CHUNK_BYTES
    fast.CHUNK_BYTES = data.draw(st.sampled_from([1, 1000, chunk]), 'chunk')
    try:
        ours = _results(routed_attention, inputs)
        with torch.no_grad():
            inference = routed_attention(**inputs)
    finally:
        fast.CHUNK_BYTES = chunk
    expected = _results(routed_attention_reference, inputs)
    for one, other in zip(ours, expected):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(inference, expected[0])


def test_gradients_are_those_of_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, 'CHUNK_BYTES', 200)
    inputs = _inputs(0, 2, 4, 3, 2, 2, 2, (2, 2), False, True)
    tensors = [inputs.pop(name) for name in ('query', 'key', 'value')]
    assert torch.autograd.gradcheck(lambda *x: routed_attention(*x, **inputs), tensors)


def test_gradients_are_the_same_every_time() -> None:
    inputs = _inputs(1, 2, 49, 4, 4, 16, 4, (8, 8), False, False)
    first = _results(routed_attention, inputs)
    assert all(torch.equal(a, b) for a, b in zip(first, _results(routed_attention, inputs)))


def test_nothing_k_fold_is_kept_for_the_backward_pass() -> None:
    inputs = _inputs(2, 1, 16, 4, 4, 8, 2, (4, 4), False, False)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        routed_attention(**inputs)
    assert max(kept) <= inputs['query'].numel()


def test_all_regions_need_no_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = _inputs(3, 2, 4, 3, 3, 4, 2, (4, 4), False, True)
    expected = _results(routed_attention_reference, inputs)
    monkeypatch.setattr(fast, '_select', None)
    for one, other in zip(_results(routed_attention, inputs), expected):
        torch.testing.assert_close(one, other)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_regions_come_back_in_place(rows: int, cols: int, high: int, wide: int) -> None:
    x = torch.arange(2. * rows * high * cols * wide * 3).view(2, rows * high, cols * wide, 3)
    regions = split_regions(x, rows, cols)
    assert torch.equal(merge_regions(regions, rows, cols, high), x)
    last = x[:, -high:, -wide:].reshape(2, -1, 3)
    assert torch.equal(regions[:, -1], last)

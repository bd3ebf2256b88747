"""The caption decoder: what a word sees, and where a layer normalises."""
from __future__ import annotations

import pytest
import torch
from torch import nn

from mmext.models.layers.caption_transformer import CaptionTransformer


def _model(pre_norm: bool) -> CaptionTransformer:
    torch.manual_seed(0)
    return CaptionTransformer(11, 8, 12, num_layers=2, num_heads=2, max_length=6, pre_norm=pre_norm).eval()


@pytest.mark.parametrize('pre_norm', [False, True])
def test_a_word_sees_the_words_before_it_and_the_picture(pre_norm: bool) -> None:
    model, words, memory = _model(pre_norm), torch.randn(1, 6, 8), torch.randn(1, 3, 8)
    mask = torch.ones(1, 6, dtype=torch.bool)
    with torch.no_grad():
        found = model(words, mask, memory)
        changed = words.clone()
        changed[:, 4] = torch.randn(8)
        later = model(changed, mask, memory)
        other = model(words, mask, torch.randn(1, 3, 8))
    torch.testing.assert_close(later[:, :4], found[:, :4])
    assert not torch.allclose(later[:, 4:], found[:, 4:])
    assert not torch.isclose(other, found).all(dim=2).any()


def test_pre_norm_adds_to_the_normalised_input() -> None:
    """With parts that say nothing, a layer is its three norms, one after the other."""
    model, words = _model(True), torch.randn(2, 6, 8)
    with torch.no_grad():
        for name, parameter in model.layers.named_parameters():
            if 'norms' in name:
                parameter.copy_(torch.rand_like(parameter))
            elif not name.endswith('ffn.0.weight'):
                parameter.zero_()
        found = model(words, torch.ones(2, 6, dtype=torch.bool), torch.randn(2, 3, 8))
        expected = words + model.positions
        for layer in model.layers:
            assert isinstance(layer.norms, nn.ModuleList)
            for norm in layer.norms:
                expected = norm(expected)
    torch.testing.assert_close(found, expected)

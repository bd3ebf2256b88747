"""O2DETR: its encoder and the detector's initialisation. Training on odd batches: test_rotated_detr.py."""
from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mmext.models.layers.o2detr_encoder import DSConvEncoder
from mmext.registry import MODELS
from tests.models.detectors.test_rotated_detr import _MODELS, _build

_SHAPES = torch.tensor([[6, 8], [3, 4]])


def _encoder(**kwargs: object) -> DSConvEncoder:
    torch.manual_seed(0)
    encoder = DSConvEncoder(num_layers=1, embed_dims=16, num_levels=2, **kwargs).eval()
    encoder.init_layers()
    return encoder


def _inputs() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.rand(1, 60, 16), torch.rand(1, 60, 16)


def test_a_token_sees_its_neighbours_of_its_own_level_only() -> None:
    encoder, (tokens, position) = _encoder(), _inputs()
    expected = encoder(tokens, position, None, _SHAPES)
    tokens[0, 10] += 1.  # row 1, column 2 of the 6 x 8 map
    changed = (encoder(tokens, position, None, _SHAPES) != expected).any(-1)[0].nonzero()[:, 0].tolist()
    assert changed == [row * 8 + column for row in (0, 1, 2) for column in (1, 2, 3)]


def test_padding_is_zero_for_the_convolution() -> None:
    encoder, (tokens, position) = _encoder(), _inputs()
    padding = torch.zeros(1, 60, dtype=torch.bool)
    padding[0, 10] = True
    expected = encoder(tokens, position, padding, _SHAPES)
    tokens[0, 10] += 1.
    changed = (encoder(tokens, position, padding, _SHAPES) != expected).any(-1)[0].nonzero()[:, 0].tolist()
    assert changed == [10]


def test_levels_share_their_convolutions_unless_told() -> None:
    shared, own = (sum(p.numel() for p in _encoder(share_levels=share).parameters())
                   for share in (True, False))
    assert own - shared == (9 * 16 + 16) + (16 * 16 + 16)


def test_encoder_initialisation() -> None:
    encoder = _encoder()
    depthwise = next(m for m in encoder.modules() if isinstance(m, nn.Conv2d))
    assert not depthwise.bias.any()
    assert depthwise.weight.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.3)


def test_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match='embed_dims=64, but the decoder has 32'):
        MODELS.build({**_MODELS['o2detr'], 'encoder': dict(num_layers=1, embed_dims=64)})


def test_depth_of_the_model() -> None:
    model = _build(_MODELS['o2detr'])
    assert not any('attn' in name for name, _ in model.encoder.named_parameters())
    assert len(model.decoder.layers) == 2

"""Layers whose GPU gradients are not repeatable are found by name."""
from __future__ import annotations

from mmcv.ops import MultiScaleDeformableAttention
from torch import nn

from mmext.engine.determinism import UNORDERED, unordered_layers


def test_found_with_their_subclasses():
    class Mine(MultiScaleDeformableAttention):
        pass

    model = nn.ModuleDict(dict(plain=nn.Linear(2, 2), attention=Mine(embed_dims=256)))
    assert unordered_layers(model) == {'MultiScaleDeformableAttention': ['attention']}
    assert unordered_layers(nn.Linear(2, 2)) == {}


def test_every_name_is_of_mmcv():
    import mmcv.ops
    assert all(hasattr(mmcv.ops, name) for name in UNORDERED)

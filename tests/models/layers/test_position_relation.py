"""The position relation as a layer."""
from __future__ import annotations

import pytest
import torch
from torch import nn

from mmext.models.layers.position_relation import PositionRelation
from mmext.ops.position_relation import position_relation_reference
from mmext.registry import MODELS


def test_is_an_attention_mask() -> None:
    relation = MODELS.build(dict(type='mmext.PositionRelation', num_heads=4))
    attention = nn.MultiheadAttention(32, 4, batch_first=True)
    boxes, query, mask = torch.rand(2, 6, 4), torch.rand(2, 6, 32), torch.eye(6).roll(1, 0).bool()
    bias = relation(boxes, mask=mask)
    assert bias.shape == (2, 4, 6, 6) and (bias.isneginf() == mask).all()
    assert (bias[~bias.isneginf()] >= 0).all()
    out, weights = attention(query, query, query, attn_mask=bias.flatten(0, 1), average_attn_weights=False)
    assert (weights.masked_select(mask) == 0).all()
    out.sum().backward()
    assert relation.proj.weight.grad is not None


def test_has_520_parameters() -> None:
    assert sum(p.numel() for p in PositionRelation().parameters()) == 520


def test_sources_are_rows() -> None:
    relation = PositionRelation()
    src, tgt = torch.rand(1, 3, 4), torch.rand(1, 5, 4)
    out = relation(src, tgt)
    assert out.shape == (1, 8, 3, 5)
    torch.testing.assert_close(relation(src[:, 1:2], tgt)[:, :, 0], out[:, :, 1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_full(dtype: torch.dtype) -> None:
    relation = PositionRelation()
    boxes = torch.rand(1, 9, 4)
    expected = relation(boxes)
    with torch.autocast('cpu', dtype=dtype):
        out = relation(boxes)
    assert out.dtype is torch.float32
    torch.testing.assert_close(out, expected)
    assert torch.isfinite(relation.to(dtype)(boxes.to(dtype))).all()


def test_compiles_without_graph_break() -> None:
    relation = PositionRelation()
    boxes, mask = torch.rand(2, 7, 4), torch.eye(7).bool()
    torch._dynamo.reset()
    compiled = torch.compile(relation, fullgraph=True, backend='eager')
    torch.testing.assert_close(compiled(boxes, boxes.flip(1), mask), relation(boxes, boxes.flip(1), mask),
                               atol=1e-4, rtol=1e-4)


def test_an_odd_number_of_features_is_refused() -> None:
    with pytest.raises(ValueError, match=r'embed_dims=15: .*16'):
        PositionRelation(embed_dims=15)


def _rotated(count: int = 7) -> torch.Tensor:
    return torch.rand(2, count, 5) * torch.tensor([1., 1., .3, .3, 3.]) + torch.tensor([0., 0., .1, .1, 0.])


def test_rotated_boxes_without_angle_are_horizontal() -> None:
    relation, boxes = PositionRelation(), _rotated()
    boxes[..., 4] = 0
    torch.testing.assert_close(relation(boxes), relation(boxes[..., :4]), atol=1e-4, rtol=1e-4)


def test_rotated_relation_turns_with_the_scene() -> None:
    """Nor does it change when an angle moves by pi."""
    relation, boxes = PositionRelation(scale=1.).double(), _rotated().double()
    turn, scene = torch.tensor(0.7, dtype=torch.double), boxes.clone()
    x, y = boxes[..., 0], boxes[..., 1]
    scene[..., 0], scene[..., 1] = x * turn.cos() - y * turn.sin(), x * turn.sin() + y * turn.cos()
    scene[..., 4] += turn
    expected = relation(boxes)
    torch.testing.assert_close(relation(scene), expected)
    scene[:, ::2, 4] += torch.pi
    torch.testing.assert_close(relation(scene), expected)
    assert not torch.allclose(relation(scene[..., :4]), expected)


def test_rotated_relation_equals_its_reference() -> None:
    relation, boxes, mask = PositionRelation(), _rotated(), torch.eye(7).bool()
    weight, bias = relation.proj.weight.flatten(1), relation.proj.bias
    expected = position_relation_reference(boxes, boxes, weight, bias, mask=mask)
    torch.testing.assert_close(relation(boxes, mask=mask), expected, atol=1e-4, rtol=1e-4)

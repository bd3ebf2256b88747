"""F-O2DETR's cascade head: deltas lead to the ground truth, features turn with the box."""
from __future__ import annotations

import math

import pytest
import torch
from mmengine.structures import InstanceData

from mmext.models.task_modules.rotated_assigner import RotatedHungarianAssigner
from mmext.models.task_modules.rotated_geometry import canonical, rotated_iou
from mmext.registry import MODELS

_META = dict(img_shape=(128, 128))


def _head(**kwargs: object) -> torch.nn.Module:
    torch.manual_seed(0)
    head = MODELS.build(dict(type='mmext.O2DETRRefineHead', num_classes=3, in_channels=8, fc_channels=32,
                             featmap_strides=(8, 16), **kwargs))
    head.init_weights()
    return head


def _maps() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(1, 8, size, size, generator=generator) for size in (16, 8)]


def _boxes() -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return canonical(torch.rand(6, 5, generator=generator) * torch.tensor([90., 90., 50., 30., 3.])
                     + torch.tensor([20., 20., 8., 6., 0.]))


def _losses(head: torch.nn.Module, boxes: torch.Tensor, gts: InstanceData) -> dict[str, torch.Tensor]:
    assigner = RotatedHungarianAssigner([dict(type='mmext.GDCost')])
    return head.loss(_maps(), boxes[None], torch.zeros(1, len(boxes), 3), [gts], [_META], assigner)


def test_the_cascade_learns_boxes_and_classes() -> None:
    # One after another: a stage that is told the target's deltas ends at the ground truth.
    head, boxes = _head(num_stages=2), _boxes()
    shift = torch.tensor([3., -2., 4., 2., 0.3])
    gts = InstanceData(bboxes=canonical(boxes[:4] + shift), labels=torch.tensor([0, 1, 2, 0]))
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)
    first = None
    for _ in range(40):
        total = sum(_losses(head, boxes, gts).values())
        first = total.item() if first is None else first
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert total.item() < first / 3
    logits, found = head.predict(_maps(), boxes[None])
    assert rotated_iou(found[0, :4], gts.bboxes).mean() > rotated_iou(boxes[:4], gts.bboxes).mean() + 0.15
    assert logits[0, :4].argmax(-1).tolist() == gts.labels.tolist()
    assert (found[..., 2] >= found[..., 3]).all() and (found[..., 4] >= 0).all()
    assert (found[..., 4] <= math.pi).all()


def test_it_starts_at_the_proposals_whatever_the_stages() -> None:
    for stages in (1, 3):
        head = _head(num_stages=stages)
        for stage in head.stages:
            torch.nn.init.zeros_(stage.fc_reg.weight)
        found = head.predict(_maps(), _boxes()[None])[1][0]
        torch.testing.assert_close(rotated_iou(found, _boxes()), torch.ones(6), atol=1e-4, rtol=0)


def test_a_box_written_with_half_a_turn_more_has_the_same_rectangle() -> None:
    head, boxes = _head(), _boxes()
    deltas = torch.full((1, 6, 5), 0.4)
    # The sign of a shift along the sides turns with them; sizes and angle do not.
    flipped = deltas * torch.tensor([-1., -1., 1., 1., 1.])
    half = torch.tensor([0, 0, 0, 0, math.pi])
    first, second = head.decode(boxes[None], deltas)[0], head.decode((boxes + half)[None], flipped)[0]
    torch.testing.assert_close(rotated_iou(first, second), torch.ones(6), atol=1e-3, rtol=0)


def test_no_box_and_no_size_are_trained_through() -> None:
    head, boxes = _head(num_stages=2), _boxes()
    nothing = InstanceData(bboxes=torch.zeros(0, 5), labels=torch.zeros(0, dtype=torch.long))
    points = InstanceData(bboxes=torch.tensor([[30., 30., 0., 0., 0.]]), labels=torch.tensor([1]))
    boxes[0, 2:4] = 0
    for gts in (nothing, points):
        total = sum(_losses(head, boxes, gts).values())
        gradients = torch.autograd.grad(total, list(head.parameters()))
        assert total.isfinite() and all(one.isfinite().all() for one in gradients)


def test_no_stage_is_refused() -> None:
    with pytest.raises(ValueError, match='num_stages=0'):
        _head(num_stages=0)

"""Rotated heads: losses and detections depend on rectangles, not on how they are written."""
from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import InstanceData
from mmrotate.structures.bbox import RotatedBoxes
from torch import Tensor

from mmext.models.task_modules.rotated_geometry import contour
from mmext.registry import MODELS

_SIDE = 120
_META = dict(img_shape=(_SIDE, _SIDE), batch_input_shape=(_SIDE, _SIDE), scale_factor=(1., 1.))
_HEADS = {
    'default': dict(),
    'quality': dict(loss_cls=dict(type='mmext.RTDETRVarifocalLoss', quality='prob_iou')),
    'elongation': dict(angle_by_elongation=True),
    'iou': dict(loss_iou=dict(type='mmext.PolygonIoULoss', loss_weight=2.)),
    'gwd': dict(loss_iou=dict(type='mmext.GaussianLoss', loss_type='gwd')),
}

unit = st.floats(0, 1, allow_nan=False)
rows = st.tuples(unit, unit, unit, unit, unit)


def _head(**kwargs: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS.build(dict(type='mmext.RotatedDeformableDETRHead', num_classes=3, embed_dims=8,
                             sync_cls_avg_factor=False, **kwargs))


def _scene(drawn: list[tuple[float, ...]]) -> Tensor:
    """Boxes ``(n, 5)`` in [0, 1] that are neither tiny nor square, so that small changes cannot flip them."""
    boxes = torch.tensor(drawn, dtype=torch.float64)
    scale = torch.tensor([0.5, 0.5, 0.2, 0.08, 0.98], dtype=torch.float64)
    return boxes * scale + torch.tensor([0.25, 0.25, 0.15, 0.04, 0.01], dtype=torch.float64)


def _turned(boxes: Tensor) -> Tensor:
    """A square scene of normalised boxes, turned by 90 degrees."""
    x, y, w, h, t = boxes.unbind(-1)
    return torch.stack((1 - y, x, w, h, (t + 0.5) % 1), -1)


def _other_sides(boxes: Tensor) -> Tensor:
    """The same rectangles: sides swapped and a quarter turn, normalised boxes of a square image."""
    x, y, w, h, t = boxes.unbind(-1)
    return torch.stack((x, y, h, w, (t + 0.5) % 1), -1)


def _pixels(boxes: Tensor) -> Tensor:
    return boxes * torch.tensor([_SIDE] * 4 + [math.pi], dtype=boxes.dtype)


def _losses(head: torch.nn.Module, logits: Tensor, preds: Tensor, gt: Tensor) -> Tensor:
    """Class, L1 and geometric loss; ``gt`` in pixels and radians."""
    instances = InstanceData(bboxes=RotatedBoxes(gt), labels=torch.arange(len(gt)) % 3)
    losses = head.loss_by_feat(logits[None, None], preds[None, None], None, None, [instances], [_META])
    return torch.stack([losses[name] for name in ('loss_cls', 'loss_bbox', 'loss_iou')])


@pytest.mark.parametrize('name', _HEADS)
@settings(max_examples=12, deadline=None)
@given(drawn=st.lists(rows, min_size=4, max_size=6), seed=st.integers(0, 99))
def test_losses_are_those_of_the_rectangles(name: str, drawn: list[tuple[float, ...]], seed: int) -> None:
    head, boxes = _head(**_HEADS[name]), _scene(drawn)
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(boxes), 3, generator=generator, dtype=torch.float64)
    targets = (boxes + 0.03 * torch.randn(boxes.shape, generator=generator, dtype=torch.float64)).clamp(0.02)
    gt = _pixels(targets[:3])
    expected = _losses(head, logits, boxes, gt)
    half = torch.tensor([0, 0, 0, 0, math.pi], dtype=torch.float64)
    for other in (gt + half, gt - half, _pixels(_other_sides(targets[:3]))):
        torch.testing.assert_close(_losses(head, logits, boxes, other), expected, rtol=1e-5, atol=1e-7)
    # All boxes turned together, which takes half of them over the ends of the angle's range.
    turned = _losses(head, logits, _turned(boxes), _pixels(_turned(targets[:3])))
    torch.testing.assert_close(turned, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('name', [name for name in _HEADS if name != 'elongation'])
def test_the_end_of_the_range_costs_what_the_middle_does(name: str) -> None:
    head, logits = _head(**_HEADS[name]), torch.zeros(1, 3, dtype=torch.float64)
    at = torch.tensor([[0.5, 0.5, 0.3, 0.1, 0.]], dtype=torch.float64)

    def losses(pred: float, gt: float) -> Tensor:
        first, second = at.clone(), at.clone()
        first[:, 4], second[:, 4] = pred, gt
        return _losses(head, logits, first, _pixels(second))

    torch.testing.assert_close(losses(0.99, 0.01), losses(0.49, 0.51), rtol=1e-5, atol=1e-7)


def _detections(head: torch.nn.Module, logits: Tensor, boxes: Tensor, **meta: object) -> InstanceData:
    head.test_cfg = dict(max_per_img=6, clip_border=False)
    return head.predict_by_feat(logits[None, None], boxes[None, None], [{**_META, **meta}], rescale=True)[0]


def _same_rectangles(first: Tensor, second: Tensor) -> None:
    """Corners of each are those of the other, in whatever order."""
    one, two = contour(first), contour(second)
    distances = (one[:, :, None] - two[:, None]).norm(dim=-1)
    assert distances.amin(-1).max() < 1e-3 and distances.amin(-2).max() < 1e-3


@settings(max_examples=20, deadline=None)
@given(drawn=st.lists(rows, min_size=3, max_size=5), scale=st.floats(0.4, 2.5), seed=st.integers(0, 99))
def test_detections_are_those_of_the_rectangles(drawn: list[tuple[float, ...]], scale: float,
                                                seed: int) -> None:
    head, boxes = _head(), _scene(drawn)
    logits = torch.randn(len(boxes), 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for factors in ((scale, scale), (scale, 1.)):
        found = _detections(head, logits, boxes, scale_factor=factors)
        other = _detections(head, logits, _other_sides(boxes), scale_factor=factors)
        assert torch.equal(found.scores, other.scores) and torch.equal(found.labels, other.labels)
        if factors[0] == factors[1]:
            _same_rectangles(found.bboxes, other.bboxes)
    turned = _detections(head, logits, _turned(boxes))
    found = _detections(head, logits, boxes)
    assert torch.equal(found.scores, turned.scores) and torch.equal(found.labels, turned.labels)
    x, y, w, h, t = found.bboxes.unbind(-1)
    _same_rectangles(torch.stack((_SIDE - y, x, w, h, t + math.pi / 2), -1), turned.bboxes)

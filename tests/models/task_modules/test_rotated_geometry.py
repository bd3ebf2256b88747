"""Geometry of costs and losses of rotated boxes: what must not matter does not."""
from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops import box_iou_rotated
from mmengine.structures import InstanceData
from torch import Tensor

from mmext.models.task_modules.rotated_assigner import RotatedHungarianAssigner
from mmext.models.task_modules.rotated_box_space import RotatedBoxSpace
from mmext.models.task_modules.rotated_geometry import canonical, kld, rotated_iou
from mmext.registry import MODELS, TASK_UTILS

_META = dict(img_shape=(100, 200))
_COSTS = [dict(type='mmext.GDCost', loss_type=kind) for kind in ('kld', 'gwd', 'jd')] + [
    dict(type='mmext.HausdorffCost'), dict(type='mmext.HausdorffCost', num_points=12),
    dict(type='mmext.ChamferCost')]
_LOSSES = [dict(type='mmext.GaussianLoss', loss_type=kind) for kind in ('kld', 'gwd', 'kld_symmax')] + [
    dict(type='mmext.PolygonIoULoss')]
_IDS = [str(list(cfg.values())) for cfg in (*_COSTS, *_LOSSES)]

numbers = st.floats(0, 1, allow_nan=False)
boxes = st.lists(st.tuples(numbers, numbers, numbers, numbers, numbers), min_size=3, max_size=5)


def _boxes(drawn: list[tuple[float, ...]]) -> Tensor:
    unit = torch.tensor(drawn, dtype=torch.float64)
    return unit * torch.tensor([60., 60., 40., 40., math.pi]) + torch.tensor([20., 20., 4., 2., 0.])


def _quarter(box: Tensor) -> Tensor:
    return torch.stack((box[:, 0], box[:, 1], box[:, 3], box[:, 2], box[:, 4] + math.pi / 2), -1)


def _turned(box: Tensor, angle: float) -> Tensor:
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = box[:, 0] - 50, box[:, 1] - 50
    return torch.stack((x * cos - y * sin + 50, x * sin + y * cos + 50, box[:, 2], box[:, 3],
                        box[:, 4] + angle), -1)


def _value(cfg: dict[str, object], pred: Tensor, gt: Tensor) -> Tensor:
    if cfg['type'] in ('mmext.GaussianLoss', 'mmext.PolygonIoULoss'):
        return MODELS.build({**cfg, 'reduction': 'none'})(pred, gt)
    return TASK_UTILS.build(cfg)(InstanceData(bboxes=pred), InstanceData(bboxes=gt), _META)


@pytest.mark.parametrize('cfg', (*_COSTS, *_LOSSES), ids=_IDS)
@settings(max_examples=15, deadline=None)
@given(drawn=boxes, angle=st.floats(-3, 3))
def test_only_the_rectangles_count(cfg: dict[str, object], drawn: list[tuple[float, ...]],
                                   angle: float) -> None:
    pred = _boxes(drawn)
    gt = pred.roll(1, 0)
    value = _value(cfg, pred, gt)
    half = torch.tensor([0, 0, 0, 0, math.pi], dtype=torch.float64)
    for other in ((pred + half, gt), (pred, gt - half), (_quarter(pred), gt), (pred, _quarter(gt)),
                  (_turned(pred, angle), _turned(gt, angle))):
        torch.testing.assert_close(_value(cfg, *other), value, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('cfg', (*_LOSSES, dict(type='mmext.RBoxL1Loss')),
                         ids=[str(list(cfg.values())) for cfg in _LOSSES] + ['l1'])
def test_the_seam_of_angles_costs_nothing(cfg: dict[str, object]) -> None:
    angles = torch.tensor([0.02, math.pi - 0.02], dtype=torch.float64)
    pred = torch.stack([torch.tensor([50., 50., 30., 10., angle], dtype=torch.float64) for angle in angles])
    inside = pred.clone()
    inside[:, 4] = torch.tensor([1., 1.04])
    scale = torch.tensor([100., 100., 100., 100., math.pi]) if cfg['type'] == 'mmext.RBoxL1Loss' else 1.
    loss = MODELS.build(cfg)
    across = loss((pred / scale)[:1], (pred / scale)[1:])
    torch.testing.assert_close(across, loss((inside / scale)[:1], (inside / scale)[1:]))


def test_iou_cost_of_the_same_rectangles() -> None:
    # Without shared edges, where mmcv's float32 op is off by up to 0.02.
    pred = _boxes(torch.rand(6, 5, generator=torch.Generator().manual_seed(0)).tolist())
    cfg, gt = dict(type='mmext.RotatedIoUCost'), pred.roll(1, 0) + 0.7
    value = _value(cfg, pred, gt)
    for other in ((_quarter(pred), gt), (_turned(pred, 0.4), _turned(gt, 0.4))):
        torch.testing.assert_close(_value(cfg, *other).double(), value.double(), atol=2e-3, rtol=1e-3)


def test_the_seam_of_angles_costs_nothing_in_matching() -> None:
    pred = torch.tensor([[50., 50., 30., 10., 0.02]])
    gt = torch.tensor([[50., 50., 30., 10., math.pi - 0.02]])
    cost = TASK_UTILS.build(dict(type='mmext.RBoxL1Cost'))
    pair = InstanceData(bboxes=pred), InstanceData(bboxes=gt)
    assert cost(*pair, _META).item() == pytest.approx(0.04 / math.pi, abs=1e-6)
    published = TASK_UTILS.build(dict(type='mmext.RBoxL1Cost', periodic=False))
    assert published(*pair, _META).item() > 0.98


@settings(max_examples=25, deadline=None)
@given(t=st.floats(0, 0.999), delta=st.floats(-4, 4))
def test_wrapping_refinement_turns_with_the_reference(t: float, delta: float) -> None:
    space = RotatedBoxSpace('wrap')
    reference = torch.tensor([0.5, 0.5, 0.3, 0.2, t], dtype=torch.float64)
    output = torch.zeros(5, dtype=torch.float64)
    output[4] = delta
    ahead = reference.clone()
    ahead[4] = (t + 0.25) % 1
    first, second = space.refine(reference, output), space.refine(ahead, output)
    assert 0 <= first[4] <= 1
    difference = (second[4] - first[4] - 0.25) % 1
    assert min(difference, 1 - difference) < 1e-9


def test_iou_agrees_with_mmcv() -> None:
    pred = _boxes(torch.rand(50, 5, generator=torch.Generator().manual_seed(1)).tolist())
    gt = pred.roll(1, 0)
    theirs = box_iou_rotated(pred.float(), gt.float(), aligned=True).double()
    torch.testing.assert_close(rotated_iou(pred, gt), theirs, atol=2e-3, rtol=0)
    torch.testing.assert_close(rotated_iou(pred, pred), torch.ones(len(pred), dtype=torch.float64))


def test_iou_has_the_gradient_of_finite_differences() -> None:
    pred = torch.tensor([[50., 52., 30., 12., 0.3]], dtype=torch.float64, requires_grad=True)
    gt = torch.tensor([[53., 50., 25., 14., 0.9]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda box: rotated_iou(box, gt), (pred, ), eps=1e-5, atol=1e-6)


def test_zero_sides_have_finite_values_and_gradients() -> None:
    pred = torch.tensor([[50., 50., 30., 10., 0.3]] * 2, requires_grad=True)
    gt = torch.tensor([[50., 50., 0., 10., 0.3], [50., 50., 0., 0., 0.]])
    for cfg in _LOSSES:
        loss = MODELS.build(cfg)(pred, gt)
        gradient, = torch.autograd.grad(loss, pred)
        assert loss.isfinite() and gradient.isfinite().all(), cfg


def test_canonical_boxes_of_every_version_are_one() -> None:
    box = torch.tensor([[10., 10., 4., 9., 0.4], [3., 4., 9., 4., -1.2]], dtype=torch.float64)
    versions = [canonical(box, wide, start) for wide, start in (
        (True, -math.pi / 2), (True, -math.pi / 4), (False, -math.pi / 2))]
    for version in versions:
        torch.testing.assert_close(canonical(version), canonical(box))
    assert kld(canonical(box), box).abs().max() < 1e-9


def test_costs_that_are_not_finite_are_counted() -> None:
    assigner = RotatedHungarianAssigner([dict(type='mmext.GDCost')])
    pred = InstanceData(bboxes=torch.tensor([[1., 1., math.nan, 1., 0.], [1., 1., 2., 1., 0.]]))
    gt = InstanceData(bboxes=torch.tensor([[1., 1., 2., 1., 0.]]), labels=torch.tensor([3]))
    with pytest.warns(UserWarning, match='1 of 2 matching costs'):
        result = assigner.assign(pred, gt, _META)
    assert result.gt_inds.tolist() == [0, 1] and assigner.num_nonfinite == 1


@pytest.mark.parametrize(('args', 'message'), [
    (dict(angle='ad'), "did you mean add"), (dict(sampling='exakt'), 'did you mean exact'),
    (dict(start_angle=-90), 'start_angle=0')])
def test_a_box_space_that_cannot_be_is_refused(args: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RotatedBoxSpace(**args)


def test_horizontal_ground_truth_is_refused() -> None:
    with pytest.raises(ValueError, match='ConvertBoxType'):
        RotatedBoxSpace().canonical(torch.rand(3, 4))

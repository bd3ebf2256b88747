"""Varifocal loss with constant weights."""
from __future__ import annotations

import torch
from mmdet.models.losses import VarifocalLoss

from mmext.models.losses.detached_varifocal import DetachedVarifocalLoss


def _inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(6, 4).requires_grad_(), torch.tensor([0, 3, 4, 4, 1, 4]), torch.rand(6)


def test_the_value_is_mmdets() -> None:
    pred, labels, ious = _inputs()
    target = torch.zeros(6, 4)
    target[[0, 1, 4], labels[[0, 1, 4]]] = ious[[0, 1, 4]]
    ours = DetachedVarifocalLoss()(pred, (labels, ious), avg_factor=3)
    theirs = VarifocalLoss(alpha=0.75, gamma=2.0, iou_weighted=True)(pred, target, avg_factor=3)
    torch.testing.assert_close(ours, theirs)


def test_the_gradient_is_that_of_weighted_cross_entropy() -> None:
    pred, labels, ious = _inputs()
    DetachedVarifocalLoss(alpha=0.75, reduction='sum')(pred, (labels, ious)).backward()
    p = pred.detach().sigmoid()
    expected = 0.75 * p**2 * p
    for row in (0, 1, 4):
        label, iou = labels[row], ious[row]
        expected[row, label] = iou * (p[row, label] - iou)
    torch.testing.assert_close(pred.grad, expected)


def test_a_match_without_overlap_has_no_weight() -> None:
    pred, labels, _ = _inputs()
    DetachedVarifocalLoss()(pred, (labels, torch.zeros(6))).backward()
    assert all(pred.grad[row, labels[row]] == 0 for row in (0, 1, 4))

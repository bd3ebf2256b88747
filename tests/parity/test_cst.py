"""CST has no public code: its cases hold the reweighting as our specification defines it."""
from __future__ import annotations

import pytest
import torch
from mmdet.models.roi_heads.bbox_heads import BBoxHead

from mmext.models.semi.consistency import DistributionConsistency, jensen_shannon
from mmext.models.semi.weighted_loss import weigh_roi_targets

from .cases import Case, cases


@pytest.mark.parametrize('case', cases('cst'))
def test_case(case: Case) -> None:
    inputs, labels = case.inputs, case.outputs['label']
    generator, peer = (inputs[f'logits_{name}'].softmax(-1) for name in ('generator', 'peer'))
    weights = DistributionConsistency(mode='linear')(generator, peer)
    # As in a sampled set of regions: the positives first, then the background.
    assigned, classes = inputs['assigned_pseudo'], case.spec['num_classes']
    order = torch.cat([(assigned >= 0).nonzero(), (assigned < 0).nonzero()]).squeeze(1)
    positives = int((assigned >= 0).sum())
    ones = torch.ones(len(order), dtype=torch.float64)
    box_weights = torch.zeros(len(order), 4, dtype=torch.float64)
    box_weights[:positives] = 1
    targets = weigh_roi_targets((labels[order], ones, inputs['target_box'][order], box_weights),
                                [assigned[order][:positives]], [len(order)], [weights])
    head = BBoxHead(in_channels=1, num_classes=classes, reg_class_agnostic=True,
                    loss_bbox=dict(type='mmdet.L1Loss'),
                    loss_cls=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=False))
    rois = torch.zeros(len(order), 5, dtype=torch.float64)
    losses = head.loss(inputs['student_logits'][order], inputs['student_box'][order], rois, *targets)
    case.check(dict(
        label=labels, jsd=jensen_shannon(generator, peer), weight_linear=weights,
        weight_exp=DistributionConsistency(mode='exp')(generator, peer),
        loss_cls=losses['loss_cls'], loss_bbox_l1=losses['loss_bbox']))


def test_a_region_that_weighs_nothing_still_counts() -> None:
    """The loss is divided by the number of regions, also where two teachers disagree altogether."""
    head = BBoxHead(in_channels=1, num_classes=2, reg_class_agnostic=True,
                    loss_cls=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=False))
    labels, logits = torch.tensor([0, 2]), torch.randn(2, 3)
    targets = weigh_roi_targets((labels, torch.ones(2), torch.zeros(2, 4), torch.ones(2, 4)),
                                [torch.tensor([0])], [2], [torch.zeros(1)])
    loss = head.loss(logits, torch.zeros(2, 4), torch.zeros(2, 5), *targets)['loss_cls']
    torch.testing.assert_close(loss, -logits[1].log_softmax(0)[2] / 2)

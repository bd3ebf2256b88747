"""Localisation by hand."""
from __future__ import annotations

import numpy as np
import pytest
import torch

from mmext.errors import UserError
from mmext.evaluation.metrics.localization_metric import LocalizationMetric, overlap


def sample(label: int, scores: list[float], box: list[int], truth: list[list[float]] = [[0, 0, 9, 9]],  # noqa: B006
           **more) -> dict:
    return dict(gt_label=torch.tensor([label]), pred_score=torch.tensor(scores), pred_box=torch.tensor(box),
                gt_bboxes=np.array(truth, np.float32), img_shape=(32, 32), **more)


def evaluate(samples: list[dict], **settings) -> dict[str, float]:
    metric = LocalizationMetric(**settings)
    metric.process({}, samples)
    return metric.compute_metrics(metric.results)


def test_figures() -> None:
    found = evaluate([
        sample(0, [.6, .3, .1], [0, 0, 9, 9]),  # class and box
        sample(1, [.6, .3, .1], [0, 0, 9, 9]),  # box, second class
        sample(0, [.6, .3, .1], [20, 20, 29, 29]),  # class
        sample(2, [.6, .3, .1], [20, 20, 29, 29], [[0, 0, 9, 9], [20, 20, 29, 29]]),  # third class
    ], topk=(1, 2))
    assert found == dict(cls_top1=50, cls_top2=75, loc_top1=25, loc_top2=50, gt_known=75)


def test_overlap_counts_pixels() -> None:
    assert overlap(np.array([0, 0, 9, 4]), np.array([[0, 0, 9, 9.]])) == 0.5
    assert overlap(np.array([0, 0, 9, 9]), np.array([[10, 0, 19, 9.]])) == 0
    boxes = np.array([[0, 0, 3, 3], [2, 2, 8, 8.]])
    assert overlap(boxes[0], boxes) == 1


def test_half_is_enough() -> None:
    half = [sample(0, [1., 0.], [0, 0, 9, 4])]
    assert evaluate(half, topk=(1, ))['gt_known'] == 100
    assert evaluate(half, topk=(1, ), iou_thr=0.51)['gt_known'] == 0


def test_max_box_acc_takes_the_best_threshold() -> None:
    cam = torch.full((32, 32), 0.25)
    cam[0:10, 0:10] = 1.
    found = evaluate([sample(0, [1., 0.], [0, 0, 32, 32], pred_cam=cam)], topk=(1, ), cam_thresholds=10)
    assert found['gt_known'] == 0 and found['max_box_acc'] == found['max_box_acc_v2'] == 100
    assert found['best_threshold'] == pytest.approx(0.3)


def test_equal_scores_are_not_worse() -> None:
    assert evaluate([sample(1, [.5, .5], [0, 0, 9, 9])], topk=(1, ))['cls_top1'] == 100


@pytest.mark.parametrize('key', ['gt_label', 'gt_bboxes', 'pred_box', 'pred_score'])
def test_names_what_a_sample_lacks(key: str) -> None:
    broken = sample(0, [1., 0.], [0, 0, 9, 9])
    del broken[key]
    with pytest.raises(UserError, match=f"no '{key}'"):
        evaluate([broken])


@pytest.mark.parametrize('settings', [
    dict(topk=(0, )), dict(topk=()), dict(iou_thr=0), dict(cam_thresholds=-1)])
def test_bad_settings(settings: dict) -> None:
    with pytest.raises(UserError, match=next(iter(settings))):
        LocalizationMetric(**settings)

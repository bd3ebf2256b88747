"""Choosing, drawing and paying for pictures."""
from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmpretrain.structures import DataSample
from mmseg.structures import SegDataSample

from mmext.leaderboard import gallery as gallery_module
from mmext.leaderboard.budget import Budget
from mmext.leaderboard.collect import per_class
from mmext.leaderboard.gallery import Gallery, draw
from mmext.leaderboard.quality import Objects, f_measure, judge, mean_iou, polygons
from mmext.leaderboard.report import write_report

from .samples import record


class Clock:
    """Stands still but for what it is told."""

    def __init__(self) -> None:
        self.now = 100.

    def __call__(self) -> float:
        return self.now


def _sample(path: str = '', quality: float = 1., boxes: int = 4) -> DetDataSample:
    """Boxes of which a part is found."""
    truth = torch.arange(boxes)[:, None] * 30. + torch.tensor([[0., 0., 20., 20.]])
    sample = DetDataSample(metainfo=dict(img_path=path))
    sample.gt_instances = InstanceData(bboxes=truth, labels=torch.zeros(boxes, dtype=torch.long))
    right = round(boxes * quality)
    found = truth + torch.where(torch.arange(boxes)[:, None] < right, 0., 500.)
    sample.pred_instances = InstanceData(bboxes=found, labels=torch.zeros(boxes, dtype=torch.long),
                                         scores=torch.full((boxes, ), 0.9))
    return sample


# ----------------------------------------------------------------------------------------- budget


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), min_size=1, max_size=40),
       st.floats(0.01, 0.5))
def test_budget_is_kept_when_the_cost_is_known(steps, share):
    clock = Clock()
    budget = Budget(share, clock=clock)
    for seconds, cost in steps:
        clock.now += seconds
        if budget.left() >= cost:
            with budget.spending():
                clock.now += cost
    assert budget.spent <= share * budget.run + 1e-9
    assert budget.run == pytest.approx(sum(seconds for seconds, _ in steps))


@pytest.mark.parametrize('run, cost', [(1., 0.004), (10., 0.02), (10., 0.2), (0.1, 1.)])
def test_pictures_stop_when_the_share_is_spent(monkeypatch, run, cost):
    """Every judged image and every picture costs ``cost``; one of each may overrun."""
    clock = Clock()

    def slow(answer):
        def act(*args):
            clock.now += cost
            return answer(*args)
        return act

    monkeypatch.setattr(gallery_module, 'judge', slow(judge))
    monkeypatch.setattr(gallery_module, 'draw', slow(lambda *args: b'jpeg'))
    budget = Budget(0.05, clock=clock)
    gallery = Gallery(budget, ['a'], [(255, 0, 0)])
    for number in range(100):
        clock.now += run / 100
        gallery.add([_sample(f'{number}.png', number / 100)])
    shown = list(gallery.pictures())
    assert budget.spent <= max(0.05 * budget.run + 2 * cost, cost)
    assert gallery.seen == 100 and gallery.judged >= 1
    if run == 10. and cost == 0.02:
        assert len(shown) >= 8 and gallery.judged < 30, 'time for pictures is set aside'
    if cost == 1.:
        assert not shown


# ---------------------------------------------------------------------------------------- quality


def test_images_are_ranked_by_what_was_found():
    scores = [judge(_sample(quality=quality), 1).score for quality in (0, 0.25, 0.5, 1)]
    assert scores == [0, 0.25, 0.5, 1]
    assert judge(_sample(boxes=0), 1).score == 1.


def test_low_scores_and_wrong_classes_are_not_found():
    sample = _sample()
    sample.pred_instances.scores[:] = 0.1
    assert judge(sample, 2).score == 0
    sample = _sample()
    sample.pred_instances.labels[:] = 1
    assert judge(sample, 2).score == 0


def test_second_detection_of_an_object_is_wrong():
    one = Objects(polygons(np.float32([[0, 0, 9, 9]])), np.array([0]))
    two = Objects(np.repeat(one.polygons, 2, 0), np.array([0, 0]), np.float32([0.9, 0.8]))
    assert f_measure(one, two) == pytest.approx(2 / 3)


def test_rotated_boxes_become_their_corners():
    box = np.float32([[10, 20, 8, 4, np.pi / 2]])
    expected = [[8, 16], [8, 24], [12, 16], [12, 24]]
    assert np.allclose(sorted(np.round(polygons(box)[0], 4).tolist()), expected)
    upright = polygons(np.float32([[6, 18, 14, 22]]))
    assert np.allclose(polygons(np.float32([[10, 20, 8, 4, 0]])), upright)


def test_label_maps_and_classes():
    assert mean_iou(np.array([0, 0, 1, 255]), np.array([0, 0, 1, 1]), 2) == 1
    assert mean_iou(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0]), 2) == pytest.approx(0.25)
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, 4, 4)),
                           pred_sem_seg=PixelData(data=torch.zeros(1, 4, 4)))
    assert judge(sample, 3).score == 1
    answer = judge(DataSample().set_gt_label(1).set_pred_score(torch.tensor([0.7, 0.3])), 2)
    assert (answer.truth, answer.found, answer.score) == (1, 0, pytest.approx(0.3))
    assert judge(DetDataSample(), 2) is None


def test_without_truth_there_is_one_panel(tmp_path):
    path = str(tmp_path / 'a.png')
    cv2.imwrite(path, np.full((40, 60, 3), 90, np.uint8))
    both = _sample(path)
    alone = _sample(path)
    del alone.gt_instances
    widths = []
    for sample in (both, alone):
        jpeg = draw(judge(sample, 1), ['thing'], [(255, 0, 0)])
        widths.append(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[1])
    assert judge(alone, 1).score is None
    assert widths[0] == 2 * widths[1] + 6
    assert draw(judge(_sample(str(tmp_path / 'missing.png')), 1), ['thing'], [(0, 0, 0)]) == b''


# ----------------------------------------------------------------------------------------- report


def test_report_shows_all_and_escapes(tmp_path):
    paths = []
    for number in range(6):
        paths.append(str(tmp_path / f'{number}<b>.png'))
        cv2.imwrite(paths[-1], np.full((40, 60, 3), 90, np.uint8))
    clock = Clock()
    gallery = Gallery(Budget(clock=clock), ['cat & dog'], [(255, 0, 0)], best=2, worst=3)
    clock.now += 1000
    gallery.add([_sample(path, number / 6) for number, path in enumerate(paths)])
    one = record('<script>alert(1)</script>', work_dir=str(tmp_path),
                 per_class=({'class': 'cat & dog', 'AP': 41.5, 'objects': 3}, {'class': 'x', 'AP': None}))
    page, full = write_report(tmp_path, one, gallery)
    text = page.read_text()
    assert len(full.pictures) == 5 and sum(picture.best for picture in full.pictures) == 2
    assert [picture.name[0] for picture in full.pictures if not picture.best] == ['0', '1', '2']
    assert text.count('data:image/jpeg;base64,') == 5
    for part in ('38.10', '41.50', 'cat &amp; dog', '-3.40 of 41.5 published', 'ab' * 32, full.config_digest):
        assert part in text, part
    assert '<script>alert' not in text and '<b>.png' not in text


@pytest.mark.parametrize('metrics, rows', [
    ({'coco/cat_precision': 0.374, 'coco/dog_precision': float('nan'), 'coco/bbox_mAP': 0.1},
     [{'class': 'cat', 'AP': 37.4}, {'class': 'dog', 'AP': None}]),
    ({'IoU.wall': 55.5, 'Acc.wall': 60., 'mIoU': 1.}, [{'class': 'wall', 'IoU': 55.5, 'Acc': 60.}]),
    ({'accuracy/top1': 3.}, []),
])
def test_classes_are_read_from_the_names_of_figures(metrics, rows):
    assert per_class(SimpleNamespace(metrics=[]), metrics) == rows

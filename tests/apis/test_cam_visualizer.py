"""Maps and boxes over pictures."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample

from mmext.apis.cam_visualizer import CAMVisualizer
from mmext.apis.seen_region import seen_region, to_picture
from mmext.errors import UserError


def sample(**meta) -> DataSample:
    cam = torch.zeros(4, 4)
    cam[1:3, 1:3] = 5.
    found = DataSample(metainfo=meta).set_gt_label(1).set_pred_label(0).set_pred_score(torch.tensor([.7, .3]))
    found.set_field(cam, 'pred_cam')
    found.set_field(torch.tensor([8, 8, 24, 24]), 'pred_box')
    found.set_field(np.array([[0., 0., 32., 32.]]), 'gt_bboxes')
    return found


CROPPED = dict(img_shape=(32, 32), ori_shape=(100, 200), scale_factor=(0.24, 0.48))  # of 48 x 48


def test_region_of_a_central_crop() -> None:
    region = seen_region(sample(**CROPPED), (100, 200))
    np.testing.assert_allclose(region, (8 / .24, 8 / .48, 40 / .24, 40 / .48))
    box = to_picture([[0, 0, 32, 32], [16, 16, 32, 32]], sample(**CROPPED), (100, 200))
    np.testing.assert_allclose(box, [region, (24 / .24, 24 / .48, *region[2:])])


def test_the_networks_input_is_seen_whole() -> None:
    assert seen_region(sample(**CROPPED), (32, 32)) == (0, 0, 32, 32)
    assert seen_region(sample(), (50, 60)) == (0, 0, 60, 50)
    assert seen_region(sample(img_shape=(64, 64), ori_shape=(32, 32), scale_factor=(2., 2.)), (32, 32)) \
        == (0, 0, 32, 32)


def test_drawing() -> None:
    grey = np.full((100, 200, 3), 128, np.uint8)
    painter = CAMVisualizer('test-cam', heat=0.5)
    drawn = painter.visualize_cls(grey, sample(**CROPPED))
    assert drawn.shape == grey.shape and (grey == 128).all()
    assert (drawn[95, 10] == 128).all()  # outside of what the network sees
    assert (drawn[50, 100] != 128).any() and drawn[50, 100, 0] > drawn[50, 100, 2]  # hot is red
    assert drawn[50, 55, 2] > drawn[50, 55, 0]  # cold is blue
    truth = painter.visualize_cls(grey, sample(**CROPPED), draw_pred=False)
    assert (truth[50, 100] == 128).all() and (truth == (64, 255, 64)).all(2).any()


def test_other_samples_are_left_to_the_host() -> None:
    plain = DataSample().set_gt_label(1)
    black = np.zeros((32, 32, 3), np.uint8)
    assert CAMVisualizer('test-plain').visualize_cls(black, plain).shape == (32, 32, 3)


def test_heat_is_a_share() -> None:
    with pytest.raises(UserError, match='heat=2'):
        CAMVisualizer('test-heat', heat=2)

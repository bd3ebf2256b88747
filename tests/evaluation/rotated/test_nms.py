"""The pre-filtered NMS keeps what mmcv's keeps."""
from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops import box_iou_rotated, nms_rotated

from mmext.evaluation.rotated.geometry import meeting_pairs, meeting_pairs_within
from mmext.evaluation.rotated.nms import rotated_nms
from tests.evaluation.dota_data import corners, random_boxes


def mmcvs(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    tensors = torch.from_numpy(boxes.astype(np.float64)), torch.from_numpy(scores)
    return nms_rotated(*tensors, threshold)[1].tolist()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 150), threshold=st.sampled_from([0.1, 0.5, 0.9]),
       side=st.sampled_from([40, 256, 3000]), quad=st.booleans())
def test_keeps_what_mmcv_keeps(seed: int, count: int, threshold: float, side: int, quad: bool) -> None:
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, count, 256)
    boxes[:, :2] *= side / 256
    copies = count - count // 2
    boxes[count // 2:] = boxes[:copies] + rng.normal(0, 1, (copies, 5)) * [1, 1, 1, 1, 0.1]
    boxes[:, 2:4] = np.abs(boxes[:, 2:4])
    scores = rng.random(count)
    given_boxes = corners(boxes) if quad else boxes
    assert rotated_nms(given_boxes, scores, threshold).tolist() == mmcvs(boxes, scores, threshold)


def test_an_overlap_that_is_exactly_the_threshold_suppresses() -> None:
    boxes = np.array([[0, 0, 2, 2, 0], [0, 0, 2, 1, 0]])
    assert rotated_nms(boxes, np.array([0.9, 0.8]), 0.5).tolist() == [0]
    assert rotated_nms(boxes, np.array([0.9, 0.8]), 0.5 + 1e-9).tolist() == [0, 1]


def test_almost_equal_copies_go() -> None:
    """One object in the overlap of two tiles; mmcv's kernel leaves some of these."""
    rng = np.random.default_rng(2)
    boxes = random_boxes(rng, 300).astype(np.float64) * [100, 100, 1, 1, 1]
    for kind in (boxes, corners(boxes)):
        copies = np.concatenate([kind, kind + rng.normal(0, 1e-5, kind.shape)])
        assert len(rotated_nms(copies, rng.random(600), 0.5)) == 300


def test_far_from_the_origin() -> None:
    """Single precision is 1/64 of a pixel there; the result is that of the same boxes at the origin."""
    rng = np.random.default_rng(1)
    boxes = random_boxes(rng, 100, 100).astype(np.float64)
    scores = rng.random(100)
    far = boxes + [200_000, 150_000, 0, 0, 0]
    assert rotated_nms(far, scores, 0.3).tolist() == rotated_nms(boxes, scores, 0.3).tolist()


def test_no_boxes_and_equal_scores() -> None:
    assert rotated_nms(np.zeros((0, 5)), np.zeros(0), 0.1).tolist() == []
    box = np.tile([10.0, 10, 4, 4, 0], (3, 1))
    assert rotated_nms(box, np.ones(3), 0.1).tolist() == [0]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), groups=st.integers(1, 3))
def test_no_pair_that_overlaps_is_left_out(seed: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = (random_boxes(rng, 30) for _ in range(2))
    mine, theirs = (rng.integers(0, groups, 30) for _ in range(2))
    ious = box_iou_rotated(torch.from_numpy(one), torch.from_numpy(other)).numpy()
    overlap = {(i, j) for i, j in zip(*np.nonzero(ious > 1e-4)) if mine[i] == theirs[j]}
    pairs = list(zip(*meeting_pairs(one, other, mine, theirs)))
    assert overlap <= set(pairs) and len(set(pairs)) == len(pairs)
    assert all(mine[i] == theirs[j] for i, j in pairs)

    ious = box_iou_rotated(torch.from_numpy(one), torch.from_numpy(one)).numpy()
    within = list(zip(*meeting_pairs_within(one)))
    assert {(i, j) for i, j in zip(*np.nonzero(np.triu(ious, 1) > 1e-4))} <= set(within)
    assert len(set(within)) == len(within) and all(i < j for i, j in within)

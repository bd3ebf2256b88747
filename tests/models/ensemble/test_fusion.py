"""The ways to fuse: invariants, oriented boxes, options, errors."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmext.errors import UserError
from mmext.models.ensemble import Detections, PRAEFusion
from mmext.ops.pnms import overlaps, suppress, suppress_reference
from tests.models.ensemble.random_scenes import random_boxes, random_scenes

EACH_METHOD = pytest.mark.parametrize('options', [
    dict(type='p_nms'), dict(type='p_nms', vote=True), dict(type='p_nms', soft='gaussian'), dict(type='nms'),
    dict(type='soft_nms'), dict(type='soft_nms', method='gaussian'), dict(type='nmw'), dict(type='wbf')],
    ids=lambda options: '-'.join(map(str, options.values())))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([4, 5, 8]), st.sampled_from([0., 0.2, 0.5, 1.]),
       st.integers(0, 40))
def test_rounds_are_the_loop(seed: int, width: int, iou_threshold: float, count: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, count, width)
    copies = count - count // 2
    boxes[count // 2:] = boxes[:copies] + rng.normal(0, 1e-3, (copies, boxes.shape[1]))
    group = rng.integers(0, 3, count)
    expected = suppress_reference(boxes, group, iou_threshold)
    assert np.array_equal(suppress(boxes, group, iou_threshold), expected)
    closest = suppress(boxes, group, iou_threshold, closest=True)
    kept = np.flatnonzero(expected == np.arange(count))
    for row in np.flatnonzero(closest != np.arange(count)):
        better = kept[(kept < row) & (group[kept] == group[row])]
        ious = overlaps(boxes[better], boxes[row:row + 1])
        assert np.isclose(overlaps(boxes[closest[row]:closest[row] + 1], boxes[row:row + 1])[0], ious.max())


@EACH_METHOD
@pytest.mark.parametrize('width', [4, 5, 8])
def test_images_do_not_touch_each_other(options: dict, width: int) -> None:
    """All images at once are the images one by one; the best come first; a source is of its class."""
    found, _ = random_scenes(3, width=width)
    fusion = PRAEFusion(options, max_per_img=15)
    fused, source = fusion(found)
    assert np.array_equal(found.image[source], fused.image)
    assert np.array_equal(found.label[source], fused.label)
    for image in range(6):
        rows = np.flatnonzero(found.image == image)
        alone, alone_source = fusion(found[rows], detectors=3)
        own = fused[fused.image == image]
        np.testing.assert_allclose(alone.boxes, own.boxes, atol=1e-9)
        assert np.array_equal(rows[alone_source], source[fused.image == image])
        assert (np.diff(alone.scores) <= 0).all() and len(alone) <= 15


@pytest.mark.parametrize('options', [dict(type='p_nms', vote=True), dict(type='nmw'), dict(type='wbf')],
                         ids=lambda options: options['type'])
@pytest.mark.parametrize('width', [5, 8])
def test_one_box_written_in_many_ways(options: dict, width: int) -> None:
    """An oriented box is the mean of itself, however its sides, angle or first corner are chosen."""
    from tests.evaluation.dota_data import corners
    box = np.array([50., 40., 30., 10., 0.3])
    ways = np.array([box, [50, 40, 10, 30, 0.3 + np.pi / 2], [50, 40, 30, 10, 0.3 - np.pi],
                     [50, 40, 10, 30, 0.3 - np.pi / 2]])
    if width == 8:
        ways = corners(ways)
        ways = np.concatenate([ways, ways.reshape(-1, 4, 2)[:, ::-1].reshape(-1, 8)])
    count = len(ways)
    found = Detections.of(np.zeros(count), np.zeros(count), np.zeros(count), ways,
                          np.linspace(0.9, 0.5, count))
    fused, _ = PRAEFusion(options)(found)
    assert len(fused) == 1
    np.testing.assert_allclose(fused.boxes[0], ways[0], atol=1e-9)


@EACH_METHOD
@pytest.mark.parametrize('width', [4, 5, 8])
def test_nothing_and_one(options: dict, width: int) -> None:
    found, _ = random_scenes(0, width=width)
    fused, source = PRAEFusion(options)(found[:0])
    assert len(fused) == len(source) == 0 and fused.boxes.shape == (0, width)
    fused, _ = PRAEFusion(options)(found[:1])
    np.testing.assert_allclose(fused.boxes, found.boxes[:1])
    zero = Detections(found.image, found.detector, found.label, found.boxes, np.zeros(len(found)))
    assert np.isfinite(PRAEFusion(options)(zero).detections.boxes).all()


def test_wbf_weights_and_agreement() -> None:
    box = np.array([[10., 10., 30., 30.], [12., 10., 32., 30.], [60., 60., 70., 70.]])
    found = Detections.of([0] * 3, [0, 1, 0], [0] * 3, box, [0.8, 0.4, 0.6])
    fused, source = PRAEFusion(dict(type='wbf'))(found, detectors=2)
    np.testing.assert_allclose(fused.boxes[0], [10 + 2 / 3, 10, 30 + 2 / 3, 30])
    np.testing.assert_allclose(fused.scores, [0.6, 0.3])  # the mean of two; one of two detectors
    assert source.tolist() == [0, 2]
    fused, _ = PRAEFusion(dict(type='wbf', weights=[1, 3]))(found, detectors=2)
    np.testing.assert_allclose(fused.boxes[0], [11.2, 10, 31.2, 30])
    with pytest.raises(UserError, match='one number over 0 for each of 2'):
        PRAEFusion(dict(type='wbf', weights=[1]))(found, detectors=2)


@pytest.mark.parametrize(('options', 'message'), [
    (dict(type='pnms'), 'did you mean p_nms'),
    (dict(type='wbf', iou_thr=0.5), "wbf has no option 'iou_thr'; did you mean iou_threshold"),
    (dict(iou_threshold=2), 'iou_threshold 2 must be 0 to 1'),
])
def test_wrong_options(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        PRAEFusion(options)


def test_wrong_soft() -> None:
    found, _ = random_scenes(0)
    with pytest.raises(UserError, match='did you mean linear'):
        PRAEFusion(dict(type='p_nms', soft='liner'))(found)
    with pytest.raises(UserError, match='leave out soft or vote'):
        PRAEFusion(dict(type='p_nms', soft='linear', vote=True))(found)

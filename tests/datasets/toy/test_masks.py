"""Masks in COCO's notations against pycocotools."""
from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from mmext.datasets.toy.integers import Rng
from mmext.datasets.toy.masks import bounding_box, polygon, run_lengths, segmentation
from mmext.datasets.toy.scene import CLASSES
from mmext.datasets.toy.shapes import UNIT, random_pose, render

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)).filter(np.any)


def decode(annotation, shape):
    rle = coco.frPyObjects(annotation, *shape)
    return coco.decode(coco.merge(rle) if isinstance(rle, list) else rle).astype(bool)


@settings(max_examples=200, deadline=None)
@given(MASKS)
def test_run_lengths_and_box(mask):
    rle = run_lengths(mask)
    assert np.array_equal(decode(rle, mask.shape), mask)
    assert sum(rle['counts']) == mask.size and min(rle['counts'][1:]) > 0
    compressed = coco.frPyObjects(rle, *mask.shape)
    assert bounding_box(mask) == coco.toBbox(compressed).tolist()


@settings(max_examples=300, deadline=None)
@given(MASKS)
def test_a_polygon_is_exact_or_none(mask):
    outline = polygon(mask)
    if outline is not None:
        assert len(outline) >= 8
        # too short for pycocotools' rule that 4 numbers are a box: a polygon has 8 at least
        assert np.array_equal(decode([outline], mask.shape), mask)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(CLASSES), st.integers(12, 50), st.integers(), st.integers(-UNIT, UNIT))
def test_whole_shapes_become_polygons(kind, length, seed, shift):
    mask = np.zeros((80, 80), bool)
    pose = random_pose(Rng(seed), kind, length, 40 * UNIT + shift, 40 * UNIT - shift)
    patch = render(pose, 80)
    mask[patch.rows, patch.columns] = patch.mask
    annotation = segmentation(mask, whole=True)
    if kind not in ('star', 'triangle'):  # thin tips may hang on by a corner
        assert isinstance(annotation, dict if kind == 'ring' else list)
    assert np.array_equal(decode(annotation, mask.shape), mask)


def test_what_one_polygon_cannot_say():
    two = np.array([[1, 0, 1]], bool)
    hole = np.ones((3, 3), bool)
    hole[1, 1] = False
    corner = np.eye(2, dtype=bool)
    for mask in (two, hole, corner):
        assert polygon(mask) is None
        assert 'counts' in segmentation(mask, whole=True)
    assert 'counts' in segmentation(np.ones((2, 2), bool), whole=False)
    assert segmentation(np.ones((2, 2), bool), whole=True) == [[0, 0, 2, 0, 2, 2, 0, 2]]

"""The IoU of quadrilaterals, against shapely's."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Polygon

from mmext.evaluation.rotated.polygons import corners_of, polygon_ious
from tests.evaluation.dota_data import corners, random_boxes


def shapelys(one: np.ndarray, other: np.ndarray) -> float:
    first, second = Polygon(one), Polygon(other)
    common = first.intersection(second).area
    return common / (first.area + second.area - common)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), noise=st.sampled_from([0, 1e-9, 1e-6, 1e-3, 0.1, 5]),
       offset=st.sampled_from([0, 1e5]))
def test_oriented_boxes_that_almost_agree(seed: int, noise: float, offset: float) -> None:
    rng = np.random.default_rng(seed)
    one = corners(random_boxes(rng, 20)).reshape(-1, 4, 2)
    other = np.roll(one + rng.normal(0, noise, one.shape), rng.integers(4), axis=1)
    if rng.random() < 0.5:
        other = other[:, ::-1]
    expected = [shapelys(*pair) if Polygon(pair[1]).is_valid else None for pair in zip(one, other)]
    for got, value in zip(polygon_ious(one + offset, other + offset), expected):
        if value is not None:
            assert got == pytest.approx(value, abs=1e-7)


def test_any_simple_quadrilaterals() -> None:
    """Also those with a corner that points inwards."""
    shapes = np.random.default_rng(0).random((600, 4, 2)) * 10
    shapes = np.array([shape for shape in shapes if Polygon(shape).is_valid])
    half = len(shapes) // 2
    one, other = shapes[:half], shapes[half:2 * half]
    np.testing.assert_allclose(polygon_ious(one, other), [shapelys(*pair) for pair in zip(one, other)],
                               atol=1e-12)


def test_without_area_or_rows() -> None:
    square = np.array([[[0, 0], [1, 0], [1, 1], [0, 1]]], float)
    assert polygon_ious(square, square * 0).tolist() == [0]
    assert polygon_ious(square * 0, square * 0).tolist() == [0]
    assert polygon_ious(square, square + 5).tolist() == [0]
    assert polygon_ious(square[:0], square[:0]).shape == (0, )


def test_corners_are_mmrotates() -> None:
    import torch
    from mmrotate.structures.bbox import rbox2qbox
    boxes = random_boxes(np.random.default_rng(0), 50).astype(np.float64)
    one, other = (shape.reshape(50, 4, 2) for shape in
                  (corners_of(boxes), rbox2qbox(torch.from_numpy(boxes)).numpy()))
    # the same corners, whichever comes first
    distance = np.linalg.norm(one[:, :, None] - other[:, None], axis=-1)
    assert (distance.min(axis=2) < 1e-9).all()

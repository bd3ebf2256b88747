"""Rotated shapes: the oriented box is tight, whatever the pose."""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmext.datasets.toy.classes import CLASSES
from mmext.datasets.toy.integers import Rng
from mmext.datasets.toy.shapes import FULL, UNIT, Pose, random_pose, render

AREA = {'bar': 1.0, 'disc': 0.785, 'ring': 0.573, 'star': 0.384, 'triangle': 0.5}  # of the box
POSES = st.builds(Pose, st.sampled_from(CLASSES), st.integers(38 * UNIT, 42 * UNIT),
                  st.integers(38 * UNIT, 42 * UNIT), st.integers(8 * UNIT, 24 * UNIT),
                  st.integers(8 * UNIT, 24 * UNIT), st.integers(0, 359))


@settings(max_examples=150, deadline=None)
@given(POSES)
def test_the_box_is_tight(pose):
    patch = render(pose, 80)
    inside = patch.coverage > 0
    for along, half in ((patch.u, pose.a), (patch.v, pose.b)):
        reach = along[inside]
        assert -half - UNIT <= reach.min() <= -half + 1.5 * UNIT
        assert half - 1.5 * UNIT <= reach.max() <= half + UNIT


@settings(max_examples=150, deadline=None)
@given(POSES)
def test_coverage_is_the_area(pose):
    area = render(pose, 80).coverage.sum() / FULL
    box = 4 * pose.a * pose.b / UNIT**2
    assert area == pytest.approx(AREA[pose.kind] * box, rel=0.05)


@settings(max_examples=100, deadline=None)
@given(POSES)
def test_the_window_holds_everything(pose):
    coverage = render(pose, 80).coverage
    assert not (coverage[0].any() or coverage[-1].any() or coverage[:, 0].any() or
                coverage[:, -1].any())


def test_large_pictures_do_not_overflow():
    """The same shape eight times as large covers the same part of its box."""
    for kind in CLASSES:
        area = render(Pose(kind, 512 * UNIT, 512 * UNIT, 340 * UNIT, 340 * UNIT, 30), 1024)
        assert area.coverage.sum() / FULL / 680**2 == pytest.approx(AREA[kind], rel=0.01)


def test_random_poses_turn_all_ways():
    rng = Rng(1)
    angles = {random_pose(rng, 'bar', 20, 0, 0).angle // 30 for _ in range(200)}
    assert angles == set(range(12))

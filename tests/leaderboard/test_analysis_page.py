"""The page about a detector's errors."""
from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmext.evaluation.analysis import KINDS, box_confusion, error_types, precision_recall
from mmext.evaluation.analysis.curves import curves as make_curves
from mmext.evaluation.rotated.matching import Found, Objects
from mmext.leaderboard.analysis_page import analysis_text, envelope

from .browser import act

NAMES = ['cat <b>', 'dog', 'bird']


def _columns(detections: list[tuple[int, int, float]]) -> tuple[Objects, Found]:
    """Three objects of three classes in an image each; detections are (object, label, score)."""
    boxes = np.float64([[0, 0, 10, 10], [20, 20, 40, 40], [5, 5, 50, 50]])
    objects = Objects(np.arange(3), np.arange(3), boxes, np.zeros(3, bool))
    at = np.array([one for one, _, _ in detections], np.int64)
    return objects, Found(at, np.array([label for _, label, _ in detections], np.int64), boxes[at],
                          np.array([score for _, _, score in detections], np.float64))


def _text(detections: list[tuple[int, int, float]], names: list[str] | None = None) -> str:
    names = names or NAMES
    objects, found = _columns(detections)
    return analysis_text('run <i>', error_types(objects, found, len(names)),
                         precision_recall(objects, found, len(names)),
                         box_confusion(objects, found, len(names)), names, 0.5)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=30), st.integers(1, 20))
def test_the_curve_drawn_is_the_one_that_the_ap_is_of(detections, objects):
    right = np.array([hit for _, hit in detections], bool)
    right[np.cumsum(right) > objects] = False
    curve, = make_curves(np.zeros(len(right), np.int64), np.array([score for score, _ in detections]), right,
                         np.array([objects]))
    drawn = envelope(curve)
    assert (np.diff(drawn) <= 0).all()
    assert drawn.mean() == pytest.approx(curve.ap, abs=1e-9)


def test_everything_is_on_the_page():
    text = _text([(0, 0, 0.9), (1, 2, 0.8), (1, 1, 0.7)])
    assert all(kind in text for kind in KINDS)
    assert 'cat &lt;b&gt;' in text and '<b>cat' not in text and 'cat <b>' not in text
    assert 'dog → bird <b>1</b>' in text
    assert len(re.findall(r'<polyline', text)) == 4 and len(re.findall(r'<circle', text)) == 3
    assert len(re.findall(r'<td class="(?:right|wrong)"', text)) == 16


def test_nothing_found_and_many_classes():
    assert 'No class is taken for another' in _text([])
    text = _text([(0, 0, 0.9)], [f'class{number}' for number in range(60)])
    assert 'The whole matrix of 60 classes is in confusion.csv' in text and 'class59' in text


def test_in_a_browser(tmp_path):
    path = tmp_path / 'analysis.html'
    path.write_text(_text([(0, 0, 0.9), (1, 2, 0.8)]))
    order = act(path, """
      const table = [...document.querySelectorAll('table.sortable')].pop();
      table.tHead.querySelectorAll('button')[4].click();
      return [...table.tBodies[0].rows].map((row) => row.cells[4].dataset.v);
    """)
    assert [float(one) for one in order] == sorted(map(float, order), reverse=True)

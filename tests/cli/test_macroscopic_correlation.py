"""The tool that measures how strongly boxes depend on each other."""
from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmext.cli.macroscopic_correlation import main
from mmext.engine.analysis.correlation import macroscopic_correlation


@settings(max_examples=50, deadline=None)
@given(arrays(float, st.tuples(st.integers(2, 8), st.just(4)), elements=st.integers(0, 500)))
def test_is_the_mean_absolute_pearson_correlation(boxes: np.ndarray) -> None:
    usable = boxes[boxes.std(axis=1) > 0]
    found = macroscopic_correlation(boxes)
    if len(usable) < 2:
        assert found is None
        return
    matrix = np.abs(np.corrcoef(usable))
    count = len(usable)
    assert found == pytest.approx((matrix.sum() - count) / (count * (count - 1)), abs=1e-9)
    assert 0 <= found <= 1


def _write(path: Path, boxes: list[list[list[float]]]) -> str:
    annotations = [dict(id=1, image_id=image, bbox=box) for image, these in enumerate(boxes)
                   for box in these]
    path.write_text(json.dumps(dict(images=[dict(id=i) for i in range(len(boxes))],
                                    annotations=annotations)))
    return str(path)


def test_prints_draws_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    similar = _write(tmp_path / 'a.json', [[[0, 0, 9, 9], [1, 1, 10, 10]], [[3, 3, 3, 3]], []])
    other = _write(tmp_path / 'b.json', [[[0, 9, 5, 5], [5, 5, 0, 9]]])
    out, numbers = tmp_path / 'new' / 'plot.png', tmp_path / 'numbers.json'
    assert main([f'grid={similar}', other, '--out', str(out), '--json', str(numbers)]) == 0
    printed = capsys.readouterr().out
    assert 'grid: mean 1.0000' in printed and '2 have fewer than two boxes' in printed
    assert cv2.imread(str(out)).std() > 0
    found = json.loads(numbers.read_text())
    assert found['grid']['by_image'] == {'0': pytest.approx(1)} and found['b']['mean'] < 0.1


@pytest.mark.parametrize(('content', 'message'), [
    ('{}', "not a COCO annotation file with boxes: 'annotations' is missing"),
    ('[1', 'not a COCO annotation file'),
    ('{"annotations": [{"id": 7, "bbox": [1, 2], "image_id": 1}]}', 'annotation 7: expected'),
    ('{"annotations": []}', 'no image has two boxes'),
])
def test_a_wrong_file_is_named(content: str, message: str, tmp_path: Path,
                               capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / 'wrong.json'
    path.write_text(content)
    assert main([str(path), '--out', str(tmp_path / 'plot.png')]) == 2
    printed = capsys.readouterr().err
    assert str(path) in printed and message in printed


def test_an_absent_file_and_a_name_used_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _write(tmp_path / 'val.json', [[[0, 9, 5, 5], [5, 5, 0, 9]]])
    assert main([str(tmp_path / 'vall.json')]) == 2
    assert 'did you mean val.json' in capsys.readouterr().err
    assert main([path, path]) == 2
    assert "two datasets are called 'val'" in capsys.readouterr().err

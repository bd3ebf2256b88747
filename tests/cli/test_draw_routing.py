"""The tool that draws routed regions, from its arguments to its sheets."""
from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from mmext.cli.draw_routing import main

CONFIG = str(Path(__file__).parents[2] / 'configs' / 'biformer' / 'fpn_biformer_toy.py')


@pytest.fixture
def picture(toy_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_host) -> str:
    monkeypatch.setenv('MMEXT_TOY_DATA', str(toy_root))
    monkeypatch.chdir(tmp_path)
    return str(sorted((toy_root / 'coco' / 'val').iterdir())[0])


def test_a_sheet_has_a_row_for_each_layer_and_a_column_for_each_point(picture, capsys):
    assert main([CONFIG, 'none', picture, '--points', '0.5,0.5', '1,0', '--device', 'cpu']) == 0
    sheet = cv2.imread(f'routing/{Path(picture).stem}.png')
    height, width = sheet.shape[0] // 3, sheet.shape[1] // 2
    assert height == width + 22  # three layers under their titles, two square pictures each
    assert 'wrote routing' in capsys.readouterr().out


@pytest.mark.parametrize(('argv', 'message'), [
    (['--layers', 'stages.1.0.atn'], "no routed layer 'stages.1.0.atn'; did you mean stages.1.0.attn"),
    (['--points', '0.5'], "--points '0.5': expected X,Y"),
    (['--points', '0.5,2'], 'expected fractions from 0 to 1'),
])
def test_bad_arguments_are_named(picture, capsys, argv, message):
    assert main([CONFIG, 'none', picture, '--device', 'cpu', *argv]) == 2
    assert message in capsys.readouterr().err


def test_an_absent_picture_is_named(picture, capsys):
    assert main([CONFIG, 'none', picture.replace('.', '_.'), '--device', 'cpu']) == 2
    assert f'did you mean {Path(picture).name}' in capsys.readouterr().err

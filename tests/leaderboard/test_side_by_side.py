"""Two runs beside the truth."""
from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmext.errors import UserError
from mmext.leaderboard.side_by_side import pairs, side_by_side_text

from ..apis.tools import run_tool
from ..evaluation.analysis.test_analysis import work, write_case  # noqa: F401
from .browser import act

TOOL = 'analysis_tools/compare_predictions.py'
BOXES = np.float32([[0, 0, 10, 10], [20, 20, 40, 40]])


class Dataset:
    """Three images with two objects each."""

    metainfo = dict(classes=('cat', 'dog'))

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for number in range(3):
            cv2.imwrite(str(folder / f'{number}.png'), np.full((50, 60, 3), 90, np.uint8))

    def __len__(self) -> int:
        return 3

    def get_data_info(self, number: int) -> dict:
        return dict(img_id=number, img_path=str(self.folder / f'{number}.png'), instances=[
            dict(bbox=box.tolist(), bbox_label=label, ignore_flag=0) for label, box in enumerate(BOXES)])


def _answers(*found: int) -> list[dict]:
    """The first so many objects of each image are found."""
    return [dict(img_id=number, pred_instances=dict(bboxes=BOXES[:count], labels=np.arange(count),
                                                    scores=np.full(count, 0.9)))
            for number, count in enumerate(found)]


def test_images_are_ordered_by_what_the_second_run_gains(tmp_path):
    found = pairs(Dataset(tmp_path), _answers(0, 2, 2), _answers(2, 2, 1))
    assert [pair.path[-5] for pair in found] == ['0', '1', '2']
    assert [pair.scores for pair in found] == [(0, 1), (1, 1), (1, pytest.approx(2 / 3))]
    path = tmp_path / 'page.html'
    palette = [(9, 9, 9), (200, 9, 9)]
    path.write_text(side_by_side_text(('one', '<other>'), found, ['cat', 'dog'], palette, 5))
    shown = act(path, "return [...document.querySelectorAll('figure')].map((one) => one.textContent.trim());")
    assert shown == ['0.png 0.00 → 1.00', '2.png 1.00 → 0.67']
    assert '&lt;other&gt; is better' in path.read_text()


def test_runs_of_different_images_are_refused(tmp_path):
    with pytest.raises(UserError, match='different images: 1 only the first, 0 only the second'):
        pairs(Dataset(tmp_path), _answers(1, 1, 1), _answers(1, 1))
    with pytest.raises(UserError, match='image 3, which the data set does not have'):
        pairs(Dataset(tmp_path), _answers(1, 1, 1, 1), _answers(1, 1, 1, 1))


@pytest.mark.parametrize('kind', ['coco_detection', 'dota'])
def test_tool(work, kind, capsys):  # noqa: F811
    for name, spoil in (('good', False), ('bad', True)):
        config = write_case(work, kind, spoil)
        (work / 'results.pkl').rename(work / f'{name}.pkl')
    assert run_tool(TOOL, config, work / 'bad.pkl', work / 'good.pkl', work / 'page.html') == 0
    assert 'good is better on ' in capsys.readouterr().out
    text = (work / 'page.html').read_text()
    assert 'bad</h2>' not in text and text.count('data:image/jpeg') >= 3


def test_tool_says_what_is_wrong(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('a.pkl').write_bytes(pickle.dumps([]))
    for argv, message in ((['x.py', 'a.pkl', 'b.pkl', 'o.html'], "no predictions at 'b.pkl'"),
                          (['x.py', 'a.pkl', 'a.pkl', 'o.pdf'], "'o.pdf' must end in .html"),
                          (['x.py', 'a.pkl', 'a.pkl', 'o.html', '--count', '0'], 'expected 1 or more'),
                          (['x.py', 'a.pkl', 'a.pkl', 'o.html'], 'x.py')):
        assert run_tool(TOOL, *argv) == 2
        assert message in capsys.readouterr().err
    assert not Path('o.html').exists()

"""What is listed for prediction."""
from __future__ import annotations

from pathlib import Path

import pytest

from mmext.apis.inputs import find_sources
from mmext.errors import UserError


def _touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_a_folder_with_its_subfolders(tmp_path):
    _touch(tmp_path, 'b.JPG', 'a.png', 'sub/a.png', 'clip.mp4', 'notes.txt', '.hidden/c.png',
           '.c.png', 'out/vis/a.png')
    found = find_sources([tmp_path], skip=tmp_path / 'out')
    assert [source.name for source in found.images] == ['a', 'b', 'sub/a']
    assert [source.name for source in found.videos] == ['clip']
    assert found.ignored == 1


def test_names_do_not_collide(tmp_path):
    _touch(tmp_path, 'one/a.png', 'one/a.jpg', 'two/a.png')
    found = find_sources([tmp_path / 'one', tmp_path / 'two/a.png', str(tmp_path / '*/a.jpg')])
    names = [source.name for source in found.images]
    assert names == ['a', 'a_2', 'a_3', 'a_4']


def test_a_named_file_is_listed_whatever_it_is(tmp_path):
    _touch(tmp_path, 'notes.txt')
    found = find_sources([tmp_path / 'notes.txt', tmp_path / 'absent.png'])
    assert [source.path.name for source in found.images] == ['notes.txt', 'absent.png']


def test_a_name_with_brackets_is_no_pattern(tmp_path):
    _touch(tmp_path, 'a[1].png')
    assert len(find_sources([tmp_path / 'a[1].png']).images) == 1


@pytest.mark.parametrize('inputs', [[], ['{}'], ['{}/*.png'], ['{}/**/*.mp4']])
def test_nothing_to_do(tmp_path, inputs):
    _touch(tmp_path, 'notes.txt')
    with pytest.raises(UserError, match='nothing to predict on'):
        find_sources([entry.format(tmp_path) for entry in inputs])

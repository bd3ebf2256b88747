"""What is left on disk, whole or not at all."""
from __future__ import annotations

import json

import numpy as np
import pytest

from mmext.apis.inputs import read_frames
from mmext.apis.writers import PredictionsFile, VideoWriter, replacing, write_image
from mmext.errors import UserError


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'new' / 'a.txt'
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text('half')
        raise RuntimeError
    assert list(path.parent.iterdir()) == []
    with replacing(path) as temporary:
        temporary.write_text('whole')
        assert not path.exists()
    assert [entry.name for entry in path.parent.iterdir()] == ['a.txt']


def test_an_image_that_cannot_be_encoded(tmp_path):
    with pytest.raises(Exception, match='encode|depth|channels'):
        write_image(tmp_path / 'a.jpg', np.zeros((4, 4, 7), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_predictions_are_one_json_document(tmp_path):
    with PredictionsFile(tmp_path / 'p.json', dict(format='x')) as file:
        file.add(dict(file='ä.png'))
        file.fail('b.png', 'why')
        file.add(dict(file='c.png'))
    content = json.loads((tmp_path / 'p.json').read_text(encoding='utf-8'))
    assert content == dict(format='x', images=[dict(file='ä.png'), dict(file='c.png')],
                           failures=[dict(file='b.png', reason='why')], complete=True)


def test_an_interrupted_run_keeps_what_it_has(tmp_path):
    path = tmp_path / 'p.json'
    with pytest.raises(KeyboardInterrupt), PredictionsFile(path, {}) as file:
        file.add(dict(file='a.png'))
        raise KeyboardInterrupt
    content = json.loads(path.read_text())
    assert content['images'] == [dict(file='a.png')] and content['complete'] is False
    assert [entry.name for entry in tmp_path.iterdir()] == ['p.json']


def test_a_run_that_never_starts_spoils_nothing(tmp_path):
    path = tmp_path / 'p.json'
    path.write_text('older')
    with pytest.raises(UserError), PredictionsFile(path, {}):
        raise UserError('no memory')
    assert path.read_text() == 'older'
    assert [entry.name for entry in tmp_path.iterdir()] == ['p.json']


def test_a_video_can_be_read_back(tmp_path):
    path = tmp_path / 'a.mp4'
    with VideoWriter(path, 10) as video:
        for level in (0, 128, 255):
            video.add(np.full((32, 48, 3), level, np.uint8))
    frames = list(read_frames(path))
    assert len(frames) == 3 and frames[0].shape == (32, 48, 3)
    assert frames[0].mean() < 20 < 230 < frames[2].mean()
    (tmp_path / 'b.mp4').write_text('no video')
    with pytest.raises(ValueError, match='not a video'):
        next(read_frames(tmp_path / 'b.mp4'))

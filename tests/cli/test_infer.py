"""The infer command from its arguments to its files."""
from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco

from mmext.apis.writers import VideoWriter
from mmext.cli import infer
from tests.apis.tiny import write_config
from tests.apis.tools import run_tool


@pytest.fixture
def work(tmp_path: Path, toy_root: Path, monkeypatch: pytest.MonkeyPatch,
         fresh_host: None) -> Path:
    """A folder to work in, with the toy data where the configs look."""
    monkeypatch.setenv('MMEXT_TOY_DATA', str(toy_root))
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    return tmp_path


def _main(task: str, work: Path, *argv: object) -> int:
    return infer.main([str(write_config(task, work)), 'none', *map(str, argv), '--device', 'cpu'])


def _read(out: Path) -> dict:
    return json.loads((out / 'predictions.json').read_text())


def test_a_folder_with_bad_files_and_a_video(work, toy_root, capsys):
    data = work / 'data'
    (data / 'sub').mkdir(parents=True)
    pictures = sorted((toy_root / 'coco' / 'val').iterdir())
    for target, picture in zip(('a.png', 'sub/b.png'), pictures, strict=False):
        (data / target).write_bytes(picture.read_bytes())
    (data / 'broken.jpg').write_bytes(b'not a jpeg')
    (data / 'notes.txt').touch()
    with VideoWriter(data / 'clip.mp4', 10) as video:
        for picture in pictures[:3]:
            video.add(cv2.imread(str(picture)))

    code = _main('detection', work, data, work / 'absent.png', '--batch-size', 2,
                 '--score-thr', 0.1, '--out-dir', 'out')

    assert code == 1
    files = sorted(path.relative_to('out').as_posix() for path in Path('out').rglob('*')
                   if path.is_file())
    assert files == ['predictions.json', 'predictions/clip.jsonl', 'vis/a.jpg', 'vis/clip.mp4',
                     'vis/sub/b.jpg']
    content = _read(Path('out'))
    assert content['complete'] and content['format'] == 'mmext-predictions'
    assert [record['picture'] for record in content['images']] == ['vis/a.jpg', 'vis/sub/b.jpg']
    assert [Path(one['file']).name for one in content['failures']] == ['broken.jpg', 'absent.png']
    assert all(found['score'] >= 0.1 for one in content['images'] for found in one['detections'])
    assert cv2.imread('out/vis/a.jpg').shape == (64, 64, 3)
    lines = Path('out/predictions/clip.jsonl').read_text().splitlines()
    frames = [json.loads(line) for line in lines]
    assert [frame['frame'] for frame in frames] == [0, 1, 2]
    assert frames[0]['detections']
    printed = capsys.readouterr()
    assert '3 of 5 done, 1 other files left alone' in printed.out
    assert 'broken.jpg: not an image' in printed.err and 'absent.png: no such file' in printed.err


def test_a_second_run_does_not_predict_on_its_own_pictures(work, toy_root):
    data = work / 'data'
    data.mkdir()
    picture = next((toy_root / 'coco' / 'val').iterdir())
    (data / 'a.png').write_bytes(picture.read_bytes())
    for _ in range(2):
        assert _main('classification', work, data, '--out-dir', data / 'out') == 0
    assert len(_read(data / 'out')['images']) == 1


@pytest.mark.parametrize('task', ['semantic segmentation', 'panoptic segmentation'])
def test_label_maps(task, work, toy_root):
    assert _main(task, work, toy_root / 'coco' / 'val', '--no-vis', '--out-dir', 'out') == 0
    record = _read(Path('out'))['images'][0]
    assert 'picture' not in record and not Path('out/vis').exists()
    labels = cv2.imread(f'out/{record["label_map"]}', cv2.IMREAD_UNCHANGED)
    if task == 'panoptic segmentation':
        ids = labels[..., ::-1].astype(int) @ [1, 256, 65536]
        assert ids.shape == (64, 64)
        assert {one['id'] for one in record['segments']} <= set(np.unique(ids).tolist())
    else:
        assert labels.dtype == np.uint8 and labels.shape == (64, 64)
        shares = {one['label']: one['share'] for one in record['classes']}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        for label, share in shares.items():
            assert (labels == label).mean() == pytest.approx(share, abs=1e-5)


def test_instances_and_rotated_boxes(work, toy_root):
    picture = next((toy_root / 'coco' / 'val').iterdir())
    for task in ('instance segmentation', 'rotated detection'):
        assert _main(task, work, picture, '--score-thr', 0, '--out-dir', task) == 0
        found = _read(Path(task))['images'][0]['detections'][0]
        if task == 'instance segmentation':
            assert coco.decode(found['mask']).shape == (64, 64)
        else:
            assert len(found['rbox']) == 5 and len(found['quadrilateral']) == 8


def test_only_pictures(work, toy_root):
    assert _main('classification', work, toy_root / 'coco' / 'val', '--no-json') == 0
    files = [path for path in Path('outputs').rglob('*') if path.is_file()]
    assert len(files) == len(list((toy_root / 'coco' / 'val').iterdir()))
    assert all(path.suffix == '.jpg' for path in files)


def test_an_interrupted_run_keeps_what_it_has(work, toy_root, monkeypatch):
    from mmext.apis import Prediction
    drawn = []

    def interrupt_at_the_third(self, score_thr):
        drawn.append(self)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return self.image

    monkeypatch.setattr(Prediction, 'draw', interrupt_at_the_third)
    assert _main('classification', work, toy_root / 'coco' / 'val') == 130
    content = _read(Path('outputs'))
    assert len(content['images']) == 2 and content['complete'] is False
    assert not [path for path in Path('outputs').rglob('*') if '.tmp' in path.name]


def test_a_picture_that_cannot_be_drawn(work, toy_root, monkeypatch, capsys):
    from mmext.apis import Prediction

    def refuse(self, score_thr):
        raise RuntimeError('no ink')

    monkeypatch.setattr(Prediction, 'draw', refuse)
    assert _main('classification', work, toy_root / 'coco' / 'val') == 1
    assert 'no ink' in capsys.readouterr().err
    content = _read(Path('outputs'))
    assert not content['images']
    assert len(content['failures']) == len(list((toy_root / 'coco' / 'val').iterdir()))


@pytest.mark.parametrize('argv, message', [
    (('{config}', 'none', 'nowhere/*.png'), 'nothing to predict on'),
    (('{config}', 'none', '{picture}', '--device', 'warp'), "no device 'warp'"),
    (('{config}', 'absent.pth', '{picture}'), 'checkpoint not found: absent.pth'),
    (('{config}', 'none', '{picture}', '--score-thr', '1.5'), '--score-thr 1.5'),
    (('{config}', 'none', '{picture}', '--batch-size', '0'), '--batch-size 0'),
    (('{config}', 'none', '{picture}', '--no-vis', '--no-json'), 'nothing to write'),
    (('{config}', 'none', '{picture}', '--out-dir', '{picture}'), 'is a file'),
    (('{config}', 'none', '{picture}', '--bacth-size', '2'), 'did you mean --batch-size'),
    (('{config}', 'none', '{picture}', '--cfg-options', 'test_dataloader=None'),
     'no test_dataloader'),
    (('absent.py', 'none', '{picture}'), "no config file 'absent.py'"),
])
def test_what_users_get_wrong(argv, message, work, toy_root, capsys):
    config = write_config('classification', work)
    picture = next((toy_root / 'coco' / 'val').iterdir())
    words = [word.format(config=config, picture=picture) for word in argv]
    assert infer.main(words) == 2
    error = capsys.readouterr().err
    assert re.search(re.escape(message), error) and 'Traceback' not in error


def test_the_script_is_the_command(work, toy_root, capsys):
    config = write_config('classification', work)
    picture = next((toy_root / 'coco' / 'val').iterdir())
    assert run_tool('infer.py', config, 'none', picture, '--device', 'cpu') == 0
    assert Path('outputs/predictions.json').is_file()
    assert run_tool('infer.py', '--help') == 0
    assert 'usage: infer.py' in capsys.readouterr().out

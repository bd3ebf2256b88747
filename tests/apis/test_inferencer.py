"""Inferencer: every task and host, order, failures, memory, weights."""
from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmext.apis import Inferencer
from mmext.cli.config import load_config
from mmext.errors import UserError

from .tiny import TASKS


@pytest.mark.parametrize('task', TASKS)
def test_answers_every_task(task, inferencer, pictures):
    prediction = next(iter(inferencer(task)(pictures[0])))
    assert prediction.error is None, prediction.exception
    assert prediction.source == str(pictures[0])
    record = json.loads(json.dumps(prediction.to_dict()))
    assert (record['width'], record['height'], record['task']) == (64, 64, task)
    names = {'semantic segmentation': 'classes', 'panoptic segmentation': 'segments',
             'classification': 'top5'}
    found = record[names.get(task, 'detections')]
    assert found
    assert all(one['name'] == inferencer(task).classes[one['label']] for one in found)
    picture = prediction.draw(score_thr=0.0)
    assert picture.shape == (64, 64, 3) and picture.dtype == np.uint8
    assert (picture != prediction.image).any()


@pytest.mark.parametrize('task', TASKS)
def test_a_batch_answers_like_single_pictures(task, inferencer, pictures):
    singly = [p.to_dict() for p in inferencer(task)(pictures)]
    together = [p.to_dict() for p in inferencer(task)(pictures, batch_size=3)]
    assert len(singly) == len(together) == 4
    for one, other in zip(singly, together, strict=True):
        assert one.keys() == other.keys()
        for key in ('detections', 'top5'):
            scores = [[found['score'] for found in record.get(key, [])] for record in (one, other)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_an_array_is_as_good_as_its_file(inferencer, pictures):
    array = cv2.imread(str(pictures[1]))
    from_file, from_array = inferencer('detection')([pictures[1], array])
    assert from_array.source is None
    assert from_array.to_dict() == from_file.to_dict()


def test_pictures_of_different_sizes_share_a_batch(inferencer, pictures):
    array = cv2.imread(str(pictures[0]))
    wide = np.hstack([array, array])  # mmseg refuses to stack these
    results = list(inferencer('semantic segmentation')([array, wide], batch_size=2))
    assert [result.error for result in results] == [None, None]
    assert [result.label_map().shape for result in results] == [(64, 64), (64, 128)]


def test_failures_keep_their_place(inferencer, pictures, tmp_path):
    corrupt, empty, text = tmp_path / 'cut.png', tmp_path / 'empty.jpg', tmp_path / 'notes.txt'
    corrupt.write_bytes(pictures[0].read_bytes()[:40])
    empty.touch()
    text.write_text('not a picture')
    inputs = [pictures[0], corrupt, tmp_path / 'cut.pgn', empty, text, pictures[1],
              np.zeros((3, 3, 3, 3), np.uint8)]
    results = list(inferencer('detection')(inputs, batch_size=2))
    assert [result.error is None for result in results] == [True, False, False, False, False, True,
                                                             False]
    assert 'corrupt' in results[1].error
    assert 'no such file' in results[2].error and 'cut.png' in results[2].error
    assert results[3].error == 'empty file'
    assert 'shape (3, 3, 3, 3)' in results[6].error
    with pytest.raises(ValueError, match='empty file'):
        results[3].to_dict()


def test_one_picture_that_the_model_chokes_on(inferencer, pictures, monkeypatch):
    model = inferencer('detection').model
    step = model.test_step

    def fails_on_black(data):
        if any(not one.any() for one in data['inputs']):
            raise RuntimeError('no light\nmore text')
        return step(data)

    monkeypatch.setattr(model, 'test_step', fails_on_black)
    black = np.zeros((64, 64, 3), np.uint8)
    results = list(inferencer('detection')([pictures[0], black, pictures[1]], batch_size=3))
    assert [result.error for result in results] == [None, 'model: RuntimeError: no light', None]


def test_out_of_memory_is_the_users_to_solve(inferencer, pictures, monkeypatch):
    def exhausted(data):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(inferencer('detection').model, 'test_step', exhausted)
    with pytest.raises(UserError, match='smaller batch size'):
        list(inferencer('detection')(pictures, batch_size=2))


def test_reads_only_a_little_ahead(inferencer, pictures):
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield pictures[0]

    results = inferencer('classification')(endless(), batch_size=2)
    for _ in range(6):
        next(results)
    assert len(taken) <= 12
    results.close()


def test_folders_and_globs(inferencer, toy_root):
    folder = toy_root / 'coco' / 'val'
    by_folder = [p.source for p in inferencer('classification')(folder)]
    by_glob = [p.source for p in inferencer('classification')(str(folder / '*.png'))]
    assert by_folder == by_glob == [str(path) for path in sorted(folder.iterdir())]


def _save(inferencer: Inferencer, path: Path, **extra: object) -> Path:
    torch.save(dict(state_dict=inferencer.model.state_dict(), **extra), path)
    return path


def test_a_checkpoint_brings_weights_and_class_names(inferencer, config_file, pictures, tmp_path):
    trained = inferencer('detection')
    meta = dict(dataset_meta=dict(CLASSES=('v', 'w', 'x', 'y', 'z')))
    path = _save(trained, tmp_path / 'some.pth', meta=meta)
    loaded = Inferencer(config_file('detection'), path, device='cpu')
    before, after = (next(iter(one(pictures[0]))).to_dict() for one in (trained, loaded))
    assert after['detections'][0]['name'] in 'vwxyz'
    strip = [[{k: v for k, v in found.items() if k != 'name'} for found in record['detections']]
             for record in (before, after)]
    assert strip[0] == strip[1]


def test_pretrained_backbones_are_not_downloaded(config_file, tmp_path):
    cfg = load_config(str(config_file('classification')))
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='https://nowhere.invalid/x.pth')
    assert Inferencer(cfg, device='cpu').classes == ('bar', 'disc', 'ring', 'star', 'triangle')


def test_a_partial_checkpoint_is_named(inferencer, config_file, tmp_path):
    state = dict(inferencer('classification').model.state_dict(), surplus=torch.ones(1))
    state.pop('head.fc.bias')
    torch.save(state, tmp_path / 'part.pth')
    with pytest.warns(UserWarning) as caught:
        Inferencer(config_file('classification'), tmp_path / 'part.pth', device='cpu')
    messages = ' '.join(str(one.message) for one in caught)
    assert 'keeps its initial value for head.fc.bias' in messages
    assert 'has no place for surplus' in messages


def test_what_users_get_wrong(inferencer, config_file, tmp_path):
    detection = config_file('detection')
    torch.save(dict(some=torch.ones(1)), tmp_path / 'other.pth')
    with pytest.raises(UserError, match='does not belong to this config'):
        Inferencer(detection, tmp_path / 'other.pth', device='cpu')
    with pytest.raises(UserError, match=r"no device 'warp' here \(have: cpu"):
        Inferencer(detection, device='warp')
    with pytest.raises(UserError, match="no device 'cuda:99'"):
        Inferencer(detection, device='cuda:99')
    with pytest.raises(UserError, match=r'no test_dataloader\.dataset'):
        Inferencer(detection, device='cpu', cfg_options=['test_dataloader=None'])
    with pytest.raises(UserError, match='batch size 0'):
        inferencer('detection')([], batch_size=0)
    with pytest.raises(UserError, match='nothing to predict on'):
        inferencer('detection')(tmp_path)

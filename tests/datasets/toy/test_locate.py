"""Configs whose data is not there are answered with the line to run."""
from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from mmext.datasets import toy

CONFIGS = Path(__file__).parents[3] / 'configs' / '_base_' / 'datasets'
TOOL = 'python tools/dataset_converters/make_toy_data.py'


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A current directory without data; neither variable set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('MMEXT_TOY_DATA', raising=False)
    monkeypatch.delenv('MMEXT_REAL_DATA', raising=False)


@pytest.mark.parametrize(('name', 'folder'), [
    ('toy_coco_detection', 'coco'),
    ('toy_coco_instance', 'coco'),
    ('toy_coco_panoptic', 'coco'),
    ('toy_dota', 'dota'),
    ('toy_ade20k', 'ade20k'),
    ('toy_imagenet', 'imagenet'),
])
def test_missing_toy_data(monkeypatch, tmp_path, name, folder):
    message = toy.missing(Config.fromfile(CONFIGS / f'{name}.py'))
    assert message == f"the toy data 'data/toy/{folder}' is not there; make it with: {TOOL}"
    monkeypatch.setenv('MMEXT_TOY_DATA', str(tmp_path / 'my toys'))
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    assert toy.missing(cfg).endswith(f"make it with: {TOOL} --root '{tmp_path / 'my toys'}'")
    toy.make(toy.default_root(), [folder], num_train=1, num_val=1, size=32)
    assert toy.missing(cfg) is None


@pytest.mark.parametrize(('name', 'folder'), [
    ('tiny_coco_detection', 'tiny_coco'),
    ('tiny_coco_instance', 'tiny_coco'),
    ('dota_sample', 'dota_sample'),
    ('ade20k_sample', 'ade20k_sample'),
])
def test_missing_real_data(monkeypatch, tmp_path, name, folder):
    message = toy.missing(Config.fromfile(CONFIGS / f'{name}.py'))
    assert f"'data/{folder}'" in message and 'set MMEXT_REAL_DATA' in message
    (tmp_path / 'real' / folder).mkdir(parents=True)
    monkeypatch.setenv('MMEXT_REAL_DATA', str(tmp_path / 'real'))
    assert toy.missing(Config.fromfile(CONFIGS / f'{name}.py')) is None


def test_other_data_is_not_our_business():
    cfg = Config(dict(train_dataloader=dict(dataset=dict(data_root='data/coco/'))))
    assert toy.missing(cfg) is None
    assert toy.missing(dict(data_root=None, more=[1, 'x'])) is None


def test_wrapped_datasets_are_found():
    wrapped = dict(dataset=dict(type='RepeatDataset', dataset=dict(data_root='data/toy/dota/')))
    assert "'data/toy/dota'" in toy.missing(Config(dict(train_dataloader=[wrapped])))

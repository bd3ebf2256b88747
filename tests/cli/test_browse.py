"""browse_dataset: pictures of every host's samples, in every mode."""
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope

from mmext.apis.browsing import Browser, contact_sheet
from mmext.cli import browse_dataset
from mmext.cli.config import load_config
from tests.apis.tiny import write_config
from tests.apis.tools import run_tool

# Panoptic annotations need panopticapi, which no package registry has.
TASKS = {'detection': 'mmdet', 'instance segmentation': 'mmdet', 'rotated detection': 'mmrotate',
         'semantic segmentation': 'mmseg', 'classification': 'mmpretrain'}


@pytest.fixture
def work(tmp_path: Path, toy_root: Path, monkeypatch: pytest.MonkeyPatch,
         fresh_host: None) -> Path:
    """A folder to work in, with the toy data where the configs look."""
    monkeypatch.setenv('MMEXT_TOY_DATA', str(toy_root))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize('task', TASKS)
def test_every_task(task, work, capsys):
    config = write_config(task, work)
    assert browse_dataset.main([str(config), '-n', '3', '--out-dir', 'out']) == 0
    pictures = sorted(Path('out').glob('*.jpg'))
    assert len(pictures) == 3
    assert pictures[0].name.startswith('000000_')
    sheet = cv2.imread('out/contact_sheet.png')
    assert sheet.shape[0] > 2 * 64 and sheet.shape[1] > 2 * 64
    assert '3 samples drawn' in capsys.readouterr().out


@pytest.mark.parametrize('task', TASKS)
@pytest.mark.parametrize('phase', ['train', 'val'])
def test_modes_side_by_side(task, phase, work):
    # The pipelines scale 64-pixel pictures to 128; truth that is loaded after that stays at 64.
    cfg = load_config(str(write_config(task, work)))
    with DefaultScope.overwrite_default_scope(TASKS[task]):
        browser = Browser(cfg, phase)
        sizes = {}
        for mode in ('original', 'transformed', 'concat', 'pipeline'):
            view, = browser.views(mode, 1)
            sizes[mode] = view.picture.shape[:2]
    late = phase == 'val' and task != 'classification'
    assert sizes['original'] == (64, 64)
    if task != 'semantic segmentation':  # that one scales at random
        assert sizes['transformed'] == ((64, 64) if late else (128, 128))
    assert sizes['concat'][1] >= sizes['original'][1] + sizes['transformed'][1]
    assert sizes['pipeline'][1] > sizes['concat'][1]


def test_late_truth_is_drawn_where_the_object_is(work):
    cfg = load_config(str(write_config('detection', work)))
    with DefaultScope.overwrite_default_scope('mmdet'):
        drawn = {mode: next(Browser(cfg, 'val').views(mode, 1)).picture.astype(int)
                 for mode in ('original', 'transformed')}
    # Box and object come from the same place; only the doubling and halving of pixels differs.
    assert np.abs(drawn['original'] - drawn['transformed']).mean() < 12


def test_the_seed_decides_the_augmentation(work):
    cfg = load_config(str(write_config('classification', work)))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        browser = Browser(cfg, 'train')
        first, again, other = (next(browser.views('transformed', 1, seed)).picture
                               for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize('wrapper', [
    "dict(type='RepeatDataset', times=2, dataset=inner)",
    "dict(type='ConcatDataset', datasets=[inner, inner])",
    "dict(type='ClassBalancedDataset', oversample_thr=1e-3, dataset=inner)",
])
def test_wrapped_datasets(wrapper, work):
    base = write_config('detection', work)
    Path('wrapped.py').write_text(
        f"_base_ = '{base}'\ninner = {{{{_base_.train_dataloader.dataset}}}}\n"
        f'train_dataloader = dict(dataset=dict(_delete_=True, **{wrapper}))\n')
    assert browse_dataset.main(['wrapped.py', '-n', '2', '-m', 'concat', '--out-dir', 'out']) == 0
    assert len(list(Path('out').glob('*.jpg'))) == 2


def test_mixed_pictures(work, toy_root):
    base = write_config('detection', work)
    Path('mosaic.py').write_text(f"""
_base_ = '{base}'
inner = dict(
    type='CocoDataset', data_root='{toy_root}/coco/', data_prefix=dict(img='train/'),
    ann_file='annotations/instances_train.json',
    metainfo=dict(classes=('bar', 'disc', 'ring', 'star', 'triangle')),
    pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)])
train_dataloader = dict(dataset=dict(
    _delete_=True, type='MultiImageMixDataset', dataset=inner,
    pipeline=[dict(type='Mosaic', img_scale=(96, 96)), dict(type='PackDetInputs')]))
""")
    assert browse_dataset.main(['mosaic.py', '-n', '2', '-m', 'concat', '--out-dir', 'out']) == 0
    picture = cv2.imread(str(next(Path('out').glob('*.jpg'))))
    assert picture.shape[1] == 64 + 4 + 192


def test_several_branches_of_one_sample(work):
    base = write_config('detection', work)
    Path('semi.py').write_text(f"""
_base_ = '{base}'
train_dataloader = dict(dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True),
    dict(type='MultiBranch', branch_field=['teacher', 'student', 'absent'],
         teacher=[dict(type='PackDetInputs')],
         student=[dict(type='Resize', scale=(32, 32)), dict(type='PackDetInputs')])]))
""")
    assert browse_dataset.main(['semi.py', '-n', '1', '--out-dir', 'out']) == 0
    assert cv2.imread(str(next(Path('out').glob('*.jpg')))).shape[:2] == (64, 64 + 4 + 32)


@pytest.mark.parametrize('argv, message', [
    (('{config}', '-p', 'tset'), 'did you mean test'),
    (('{config}', '-n', '0'), '--show-number 0'),
    (('{config}', '--cfg-options', 'val_dataloader=None', '-p', 'val'),
     r'no val_dataloader.dataset (phases it has: train, test)'),
    (('{config}', '--cfg-options', 'train_dataloader.dataset.ann_file=absent.json'),
     'cannot read the train data'),
])
def test_what_users_get_wrong(argv, message, work, capsys):
    config = write_config('detection', work)
    assert browse_dataset.main([word.format(config=config) for word in argv]) == 2
    assert message in capsys.readouterr().err


def test_toy_data_that_was_not_made(work, monkeypatch, capsys):
    monkeypatch.setenv('MMEXT_TOY_DATA', 'nowhere')
    assert browse_dataset.main([str(write_config('detection', work))]) == 2
    assert 'make_toy_data.py --root nowhere' in capsys.readouterr().err


def test_the_script_is_the_command(work):
    config = write_config('classification', work)
    assert run_tool('analysis_tools/browse_dataset.py', config, '-n', 1) == 0
    assert Path('browse/contact_sheet.png').is_file()


def test_a_contact_sheet_holds_every_picture():
    pictures = [(f'p{i}', np.full((20, 30 + i, 3), 10 * i, np.uint8)) for i in range(5)]
    sheet = contact_sheet(pictures)
    for i in range(5):
        assert (sheet == 10 * i).all(axis=-1).sum() >= 20 * 30 * 0.9

"""``mmext check``."""
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mmext.cli import test, train
from mmext.cli.check import check_data_before_run, main
from mmext.cli.config import load_config
from mmext.errors import UserError

NO_WEIGHTS = ['--cfg-options', 'model.backbone.init_cfg=None']


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """The doctor's cache lies beside the test's other files."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


@pytest.mark.parametrize('name', ['detection', 'wrapped', 'segmentation', 'classification', 'rotated'])
def test_nothing_wrong(configs, capsys, name):
    assert main([str(configs[name]), '--data']) == 0
    out = capsys.readouterr().out
    assert 'nothing wrong found in the config, one batch of each phase included' in out
    assert 'train_dataloader.dataset' in out and ' images' in out


def test_problems_as_text(configs, capsys):
    assert main([str(configs['detection']), '--cfg-options', 'model.bbox_head.loss_cls.gama=2',
                 'train_cfg.max_epochs=9']) == 2
    assert capsys.readouterr().out.splitlines() == [
        "  1. error: model.bbox_head.loss_cls: FocalLoss has no argument 'gama', did you mean "
        "'gamma'?",
        '  2. warning: param_scheduler.1.milestones: [11] not within the 9 epochs of training: '
        'never reached',
        '1 errors, 1 warnings',
        'No batch was tried: it would fail on these errors.']


def test_problems_as_json(configs, capsys):
    assert main([str(configs['detection']), '--json', '--cfg-options', 'model.neck.typo=1']) == 2
    assert json.loads(capsys.readouterr().out) == [
        dict(path='model.neck', message="FPN has no argument 'typo'", severity='error',
             suggestion='')]


def test_warnings_alone_are_no_failure(configs, capsys):
    assert main([str(configs['detection']), '--no-batch', '--cfg-options', 'train_cfg.max_epochs=9']) == 0
    assert '0 errors, 1 warnings' in capsys.readouterr().out


def test_phases_and_files(configs, monkeypatch, capsys):
    monkeypatch.setenv('MMEXT_TOY_DATA', 'gone')
    detection = str(configs['detection'])
    assert main([detection]) == 2
    out = capsys.readouterr().out
    assert "train_dataloader.dataset.data_root: the folder 'gone/coco/' does not exist" in out
    assert main([detection, '--no-files']) == 0
    assert main([detection, '--phase', 'test']) == 2
    assert 'train_dataloader' not in capsys.readouterr().out.split('nothing wrong')[-1]


def test_what_fails_on_the_first_batch_is_named(configs, tmp_path, capsys):
    path = tmp_path / 'bad.py'
    path.write_text("_base_ = 'detection.py'\n"
                    "model = dict(backbone=dict(init_cfg=None), neck=dict(in_channels=[8, 16, 32, 99]))\n")
    assert main([str(path), '--json']) == 2
    problems = json.loads(capsys.readouterr().out)
    assert [problem['path'] for problem in problems] == ['model', 'model']
    assert problems[0]['message'].startswith('the first train batch fails: RuntimeError: Given groups=1')
    assert problems[1]['message'].startswith('the first val batch fails: RuntimeError: Given groups=1')
    assert main([str(path), '--no-batch']) == 0


# -------------------------------------------------------------------------------------------- data


@pytest.fixture
def broken(configs, tmp_path):
    """The detection config over annotations with an unknown category and a box outside."""
    cfg = load_config(str(configs['detection']))
    dataset = cfg.train_dataloader.dataset
    file = Path(dataset.data_root) / dataset.ann_file
    content = json.loads(file.read_text())
    content['annotations'][0]['category_id'] = 77
    content['annotations'][1]['bbox'] = [50, 50, 60, 60]
    (tmp_path / 'broken.json').write_text(json.dumps(content))
    path = tmp_path / 'broken.py'
    path.write_text("_base_ = 'detection.py'\ntrain_dataloader = dict(dataset=dict("
                    f"ann_file='{tmp_path}/broken.json'))\n")
    return path


def test_broken_data_as_table_and_pictures(broken, capsys):
    assert main([str(broken), '--data']) == 2
    out = capsys.readouterr().out
    assert 'nothing wrong found in the config' in out
    assert '1 annotation of a' in out and 'reaching outside' in out
    assert out.splitlines()[-1].startswith('1 pictures in work_dirs/broken/data_check')
    assert len(list(Path('work_dirs/broken/data_check').glob('*.png'))) == 1


def test_broken_data_as_json(broken, tmp_path, capsys):
    assert main([str(broken), '--data', '--json', '--show-dir', str(tmp_path / 'pictures')]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer['problems'] == []
    assert [one['kind'] for one in answer['data'][0]['findings']] == ['category-unknown', 'box-outside']
    assert os.path.dirname(answer['pictures'][0]) == str(tmp_path / 'pictures')


def test_pictures_that_cannot_be_written(broken, tmp_path, capsys):
    (tmp_path / 'file').touch()
    assert main([str(broken), '--data', '--show-dir', str(tmp_path / 'file' / 'x')]) == 2
    assert 'Not a directory' in capsys.readouterr().err


def test_before_a_run_errors_stop_and_warnings_do_not(broken, configs, capsys):
    cfg = load_config(str(broken))
    with pytest.raises(UserError, match='1 error in the data\n  1. error: train_dataloader.dataset: 1 anno'):
        check_data_before_run(cfg)
    content = json.loads(Path(cfg.train_dataloader.dataset.ann_file).read_text())
    del content['annotations'][0]
    Path(cfg.train_dataloader.dataset.ann_file).write_text(json.dumps(content))
    check_data_before_run(cfg)
    assert 'warning: train_dataloader.dataset: 1 of ' in capsys.readouterr().out


@pytest.mark.parametrize('tool, phases', [(train, ['train', 'val']), (test, ['test'])])
def test_train_and_test_look_at_their_data_first(configs, monkeypatch, tool, phases):
    seen = []

    def examined(cfg, phases):
        seen.extend(phases)
        raise UserError('stopped here')

    monkeypatch.setattr('mmext.cli.check.check_data_before_run', examined)
    command = [str(configs['detection']), *(['none'] if tool is test else []), '--work-dir', 'out',
               *NO_WEIGHTS]
    assert tool.main(command) == 2
    assert seen == phases


def test_training_on_broken_data_stops_unless_it_is_told_to_go_on(broken, capsys):
    command = [str(broken), '--no-validate', *NO_WEIGHTS, 'log_level=ERROR', 'train_cfg.max_epochs=1',
               'param_scheduler=None']
    assert train.main(command) == 2
    err = capsys.readouterr().err
    assert '1 error in the data' in err and '--no-data-check runs on them as they are' in err
    assert not list(Path('work_dirs').glob('broken/*')), 'nothing was run'
    assert train.main([*command, '--no-data-check']) == 0
    assert Path('work_dirs/broken/epoch_1.pth').is_file()


def test_datasets_with_wrong_settings_are_not_examined(configs, capsys):
    assert main([str(configs['detection']), '--data', '--json', '--cfg-options',
                 'train_dataloader.dataset.ann_file=gone.json']) == 2
    answer = json.loads(capsys.readouterr().out)
    assert [problem['path'] for problem in answer['problems']] == ['train_dataloader.dataset.ann_file']
    assert [report['path'] for report in answer['data']] == ['val_dataloader.dataset']

"""``mmext train``: four hosts, options, refusals."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmext.cli.train import main

QUIET = ['--cfg-options', 'log_level=ERROR']


def _work_dir_log(folder: Path) -> list[dict]:
    """Rows of the newest run's scalar log."""
    newest = max(folder.glob('*/vis_data/scalars.json'), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(line) for line in newest.read_text().splitlines()]


@pytest.mark.parametrize('name, iterations, checkpoint', [
    ('detection', 2, 'epoch_1.pth'),
    ('wrapped', 2, 'epoch_1.pth'),
    ('segmentation', 2, 'iter_2.pth'),
    ('concatenated', 2, 'iter_2.pth'),
    ('classification', 2, 'epoch_1.pth'),
])
def test_smoke_run(configs, capsys, name, iterations, checkpoint):
    assert main([str(configs[name]), '--smoke', *QUIET]) == 0
    out = capsys.readouterr().out
    assert f'smoke run passed: {iterations} iterations, validation on 4 images' in out
    folder = Path('work_dirs') / f'{name}_smoke'
    assert (folder / checkpoint).is_file()
    assert not (Path('work_dirs') / name).exists(), 'a trial run touches the real work directory'


def test_smoke_run_leaves_out_downloads_and_says_so(configs, capsys):
    assert main([str(configs['detection']), '--smoke', '--no-validate', *QUIET]) == 0
    out = capsys.readouterr().out
    assert 'random weights instead of torchvision://resnet50' in out
    assert 'smoke run passed: 2 iterations, ' in out and 'validation on' not in out


def test_rotated_smoke_run(configs, capsys):
    assert main([str(configs['rotated']), '--smoke', '--no-validate', *QUIET]) == 0
    assert 'smoke run passed: 2 iterations' in capsys.readouterr().out


@pytest.mark.slow
def test_rotated_smoke_run_with_validation(configs, capsys):
    # mmrotate's metric starts four processes, each of which imports all hosts.
    assert main([str(configs['rotated']), '--smoke', *QUIET]) == 0
    assert 'validation on 4 images' in capsys.readouterr().out


def test_mixed_precision_of_the_config_on_the_cpu(configs, capsys):
    amp = ['--cfg-options', 'log_level=ERROR', 'optim_wrapper.type=AmpOptimWrapper',
           'optim_wrapper.loss_scale=dynamic']
    assert main([str(configs['detection']), *amp]) == 2
    assert "'AmpOptimWrapper' needs a GPU" in capsys.readouterr().err
    assert main([str(configs['detection']), '--smoke', '--no-validate', *amp]) == 0
    assert 'smoke run: in full precision' in capsys.readouterr().out


@pytest.mark.slow
def test_two_processes_on_the_cpu(configs):
    tools = Path(__file__).parents[2] / 'tools'
    done = subprocess.run(
        [str(tools / 'dist_train.sh'), str(configs['detection']), '2', '--smoke', *QUIET],
        env={**os.environ, 'PYTHON': sys.executable, 'PORT': '29643'}, text=True,
        capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count('smoke run passed: 2 iterations, validation on 4 images') == 1


SHORT = ['--cfg-options', 'log_level=ERROR', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1',
         'train_dataloader.batch_size=4', 'train_dataloader.num_workers=0',
         'train_dataloader.persistent_workers=False', 'val_dataloader.num_workers=0',
         'val_dataloader.persistent_workers=False', 'default_hooks.logger.interval=1',
         'model.backbone.init_cfg=None']


def test_same_seed_same_losses_and_resume(configs, fresh_host):
    losses = []
    for run in ('first', 'second'):
        assert main([str(configs['detection']), '--work-dir', run, '--seed', '3',
                     '--deterministic', '--no-validate', *SHORT]) == 0
        losses.append([row['loss'] for row in _work_dir_log(Path(run)) if 'loss' in row])
        fresh_host()
    assert len(losses[0]) == 2 and losses[0] == losses[1]

    # `first` ended after epoch 1: resuming for two epochs runs the second one only.
    longer = [option.replace('max_epochs=1', 'max_epochs=2') for option in SHORT]
    assert main([str(configs['detection']), '--work-dir', 'first', '--resume', '--seed', '3',
                 '--no-validate', *longer, '--trust-checkpoint']) == 0
    assert [row['epoch'] for row in _work_dir_log(Path('first')) if 'loss' in row] == [2, 2]
    assert Path('first/epoch_2.pth').is_file()


def test_auto_scale_lr_says_what_it_does(configs, capsys):
    assert main([str(configs['detection']), '--smoke', '--no-validate', '--auto-scale-lr',
                 *QUIET]) == 0
    out = capsys.readouterr().out
    assert ('auto-scale-lr: base batch size 16, actual 1 x 16 = 16; learning rate 0.02 -> 0.02'
            in out)


REFUSED = {
    'missing config': (
        ['nothing.py'], "no config file 'nothing.py'"),
    'nearest config': (
        ['detectoin.py'], 'detection.py'),
    'unknown option': (
        ['{detection}', '--workdir', 'x'], "unknown argument '--workdir'; did you mean --work-dir"),
    'launcher': (
        ['{detection}', '--launcher', 'pytroch'], "did you mean pytorch?"),
    'option without parent': (
        ['{detection}', '--cfg-options', 'optim_wraper.optimizer.lr=1'],
        "no key 'optim_wraper'; did you mean optim_wrapper?"),
    'option without value': (
        ['{detection}', '--cfg-options', 'optim_wrapper'], "'optim_wrapper' is not KEY=VALUE"),
    'index out of range': (
        ['{detection}', '--cfg-options', 'param_scheduler.7.end=3'],
        "'param_scheduler' is a list of 2; '7' is not one of its indices"),
    'resume from nowhere': (
        ['{detection}', '--resume', 'epoch_9.pth'], "--resume: no checkpoint 'epoch_9.pth'"),
    'mixed precision on the CPU': (
        ['{detection}', '--amp'], '--amp needs a GPU'),
    'scaling without a base': (
        ['{segmentation}', '--auto-scale-lr'], 'no auto_scale_lr.base_batch_size'),
    'typo in an argument': (
        ['{detection}', '--cfg-options', 'model.bbox_head.loss_cls.gama=2'],
        "model.bbox_head.loss_cls: FocalLoss has no argument 'gama', did you mean 'gamma'?"),
    'work directory is a file': (
        ['{detection}', '--work-dir', '{detection}'], 'cannot make the work directory'),
}


@pytest.mark.parametrize('case', REFUSED)
def test_refused_with_one_clear_message(configs, capsys, case):
    argv, message = REFUSED[case]
    argv = [word.format(**{name: str(path) for name, path in configs.items()}) for word in argv]
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert message in err
    assert 'Traceback' not in err
    assert not list(Path.cwd().rglob('*.pth'))


def test_all_problems_at_once_and_nothing_run(configs, capsys):
    assert main([str(configs['detection']), '--cfg-options', 'model.neck.type=FPM',
                 'model.bbox_head.num_classes=3', 'model.bbox_head.feat_chanels=4']) == 2
    err = capsys.readouterr().err
    assert "model.neck: type 'FPM' is not a model" in err and "'FPN'" in err
    assert "has no argument 'feat_chanels', did you mean 'feat_channels'?" in err
    assert 'model.bbox_head.num_classes: is 3, but the training data (CocoDataset) has 5' in err
    assert '3 errors in the config' in err

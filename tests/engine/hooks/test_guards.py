"""What ``mmext train`` adds: crashes, signals, full disks and broken numbers cost no work."""
from __future__ import annotations

import errno
import json
import logging
import os
import signal
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmext.cli.train import main
from mmext.engine.checkpoint import load_file
from mmext.engine.guards import HOOKS as GUARDS
from mmext.engine.hooks.preemption_hook import REQUEUE

from ...cli.test_resume import same_training

NO_WORKERS = ['train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False']
SEGMENTATION = ['log_level=WARNING', 'model.pretrained=None', 'train_dataloader.batch_size=2',
                'default_hooks.logger.interval=1', *NO_WORKERS]


class _Disturb(Hook):
    """Does ``action(runner)`` before the given iteration (counted from 0), once or always."""

    def __init__(self, at: int, action, always: bool = False) -> None:
        self.at, self.action, self.always = at, action, always

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.at or (self.always and runner.iter >= self.at):
            self.action(runner)


@pytest.fixture
def disturb(monkeypatch):
    """Let every training of the test be disturbed by an action before an iteration."""
    from mmext.cli import train

    def arrange(at, action, always=False):
        build = train.build_runner

        def build_runner(cfg):
            runner = build(cfg)
            runner.register_hook(_Disturb(at, action, always), 'LOWEST')
            return runner

        monkeypatch.setattr(train, 'build_runner', build_runner)

    return arrange


def train(config: Path, work_dir: str, iterations: int, *options: str, resume: bool = False) -> int:
    return main([str(config), '--work-dir', work_dir, '--seed', '3', '--no-validate',
                 *(['--resume'] if resume else []), '--cfg-options', *SEGMENTATION,
                 f'train_cfg.max_iters={iterations}', *options])


def logged(work_dir: str) -> str:
    return ''.join(path.read_text() for path in sorted(Path(work_dir).glob('*/*.log')))


def test_config_of_the_run_names_the_guards(configs):
    assert train(configs['segmentation'], 'run', 1) == 0
    text = (Path('run') / 'segmentation.py').read_text()
    assert all(name in text for name in (*GUARDS, 'mmext.CheckpointHook'))


def test_a_config_keeps_its_own_hooks():
    from mmengine.config import Config

    from mmext.engine.guards import add_guards
    own = dict(type='mmext.NonFiniteHook', policy='skip')
    cfg = Config(dict(custom_hooks=[own], default_hooks=dict(checkpoint=dict(type='mine.CheckpointHook'))))
    add_guards(cfg)
    assert [hook for hook in cfg.custom_hooks if hook['type'] == own['type']] == [own]
    assert cfg.default_hooks.checkpoint.type == 'mine.CheckpointHook'
    assert {hook['type'] for hook in cfg.custom_hooks} == set(GUARDS)


# -------------------------------------------------------------------------------------- preemption


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
def test_told_to_leave_it_saves_and_leaves(configs, fresh_host, disturb, monkeypatch, number):
    assert train(configs['segmentation'], 'whole', 4) == 0
    fresh_host()
    with monkeypatch.context() as patch:
        patch.setattr('mmext.cli.train.build_runner', _signalled(1, number))
        with pytest.raises(SystemExit) as left:
            train(configs['segmentation'], 'halves', 4)
    assert left.value.code == REQUEUE
    assert Path('halves/iter_2.pth').is_file() and not Path('halves/iter_4.pth').exists()
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler), 'handler left behind'
    fresh_host()
    assert train(configs['segmentation'], 'halves', 4, resume=True) == 0
    same_training(Path('whole/iter_4.pth'), Path('halves/iter_4.pth'))


def _signalled(at: int, number: int):
    from mmext.cli.run_config import build_runner as build

    def build_runner(cfg):
        runner = build(cfg)
        runner.register_hook(_Disturb(at, lambda runner: os.kill(os.getpid(), number)), 'LOWEST')
        return runner

    return build_runner


def test_in_the_middle_of_an_epoch(configs, fresh_host, monkeypatch):
    options = ['--work-dir', 'whole', '--seed', '3', '--no-validate', '--cfg-options', 'log_level=WARNING',
               'train_cfg.max_epochs=2', 'train_dataloader.batch_size=2', 'model.backbone.init_cfg=None',
               *NO_WORKERS]
    assert main([str(configs['detection']), *options]) == 0
    options[1] = 'halves'
    for at, file in ((1, 'iter_2.pth'), (5, 'iter_6.pth')):  # four iterations in an epoch
        fresh_host()
        with monkeypatch.context() as patch:
            patch.setattr('mmext.cli.train.build_runner', _signalled(at, signal.SIGTERM))
            with pytest.raises(SystemExit):
                main([str(configs['detection']), '--resume', *options])
        assert Path('halves', file).is_file()
    fresh_host()
    assert main([str(configs['detection']), '--resume', *options]) == 0
    same_training(Path('whole/epoch_2.pth'), Path('halves/epoch_2.pth'))


# ------------------------------------------------------------------------------------------- disks


def _no_room(monkeypatch, names):
    """Make writing of files with these names fail, as on a full disk."""
    write = torch.save

    def save(content, file, *args, **kwargs):
        if any(name in str(getattr(file, 'name', '')) for name in names):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(content, file, *args, **kwargs)

    monkeypatch.setattr(torch, 'save', save)


def test_full_disk_in_between_is_survived(configs, monkeypatch):
    _no_room(monkeypatch, ['iter_2.pth'])
    assert train(configs['segmentation'], 'run', 3, 'default_hooks.checkpoint.interval=1',
                 'default_hooks.checkpoint.max_keep_ckpts=1') == 0
    assert 'checkpoint not written: No space left on device' in logged('run')
    assert sorted(path.name for path in Path('run').glob('*.pth')) == ['iter_3.pth']


def test_full_disk_at_the_end_is_an_error_and_loses_nothing(configs, fresh_host, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        _no_room(patch, ['iter_2.pth', 'iter_3.pth'])
        assert train(configs['segmentation'], 'run', 3, 'default_hooks.checkpoint.interval=1',
                     'default_hooks.checkpoint.max_keep_ckpts=1') == 2
    error = capsys.readouterr().err
    assert 'the last checkpoint could not be written: No space left on device' in error
    assert '--resume' in error and 'iter_1.pth' in error
    fresh_host()
    assert train(configs['segmentation'], 'run', 3, 'default_hooks.checkpoint.interval=1',
                 'default_hooks.checkpoint.max_keep_ckpts=1', resume=True) == 0
    assert [path.name for path in Path('run').glob('*.pth')] == ['iter_3.pth']


def test_old_checkpoint_goes_after_the_new_one_is_named(configs, monkeypatch):
    """At every moment the pointer names a file that is there."""
    from mmengine.fileio.backends import LocalBackend
    seen = []
    remove = LocalBackend.remove

    def watched(self, path):
        named = Path(Path('run/last_checkpoint').read_text())
        seen.append((Path(path).name, named.name, named.is_file()))
        remove(self, path)

    monkeypatch.setattr(LocalBackend, 'remove', watched)
    assert train(configs['segmentation'], 'run', 3, 'default_hooks.checkpoint.interval=1',
                 'default_hooks.checkpoint.max_keep_ckpts=1') == 0
    assert seen == [('iter_1.pth', 'iter_2.pth', True), ('iter_2.pth', 'iter_3.pth', True)]


# --------------------------------------------------------------------------------- resume and load


def test_resume_passes_a_damaged_checkpoint_over_and_says_so(configs, fresh_host):
    short = ['default_hooks.checkpoint.interval=1']
    assert train(configs['segmentation'], 'run', 3, *short) == 0
    whole = load_file('run/iter_3.pth', 'cpu')['state_dict']
    newest = Path('run/iter_3.pth')
    newest.write_bytes(newest.read_bytes()[:-1000])
    fresh_host()
    assert train(configs['segmentation'], 'run', 3, *short, resume=True) == 0
    assert 'run/iter_3.pth has' in logged('run')
    again = load_file('run/iter_3.pth', 'cpu')['state_dict']
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_resume_with_another_model_is_refused(configs, fresh_host, capsys):
    assert train(configs['segmentation'], 'run', 1) == 0
    fresh_host()
    assert train(configs['segmentation'], 'run', 2, 'model.decode_head.channels=4', resume=True) == 2
    error = capsys.readouterr().err
    assert 'it is of another model' in error
    assert 'decode_head.conv_seg.weight: (9, 8, 1, 1) in the file, (9, 4, 1, 1) in the model' in error


def test_test_of_a_foreign_checkpoint_is_refused(configs, fresh_host, capsys):
    from mmext.cli.test import main as test
    assert train(configs['segmentation'], 'run', 1) == 0
    fresh_host()
    arguments = [str(configs['segmentation']), 'run/iter_1.pth', '--work-dir', 'test', '--cfg-options',
                 'log_level=ERROR', 'model.pretrained=None', 'model.decode_head.channels=4']
    assert test(arguments) == 2
    error = capsys.readouterr().err
    assert 'does not belong to this config' in error and '--partial-checkpoint' in error
    fresh_host()
    assert test([*arguments[:4], '--partial-checkpoint', *arguments[4:]]) == 0


# ------------------------------------------------------------------------------------------ numbers


def _poison(runner):
    """The kind of thing that happens: one weight's gradient is not a number."""
    weight = runner.model.decode_head.conv_seg.weight
    handle = weight.register_hook(lambda grad: (handle.remove(), grad * float('nan'))[1])


def test_a_gradient_that_is_not_finite_stops_and_is_named(configs, disturb, capsys):
    disturb(1, _poison)
    assert train(configs['segmentation'], 'run', 3, 'default_hooks.checkpoint.interval=1') == 2
    error = capsys.readouterr().err
    assert 'iteration 2: not finite: gradient of decode_head.conv_seg.weight' in error
    assert ('images: ' in error and '.jpg' in error) or '.png' in error
    state = load_file('run/iter_1.pth', 'cpu')['state_dict']
    assert all(value.isfinite().all() for value in state.values() if value.is_floating_point())
    assert not Path('run/iter_2.pth').exists()


def test_a_loss_that_is_not_finite_is_named(configs, disturb, capsys):
    def spoil(runner):
        runner.model.decode_head.conv_seg.bias.data[0] = float('nan')

    disturb(0, spoil)
    assert train(configs['segmentation'], 'run', 2) == 2
    assert 'iteration 1: not finite: losses decode.loss_ce' in capsys.readouterr().err


@pytest.fixture
def policy(configs, tmp_path):
    """The segmentation config with a guard of another policy."""

    def write(name):
        path = tmp_path / 'guarded.py'
        path.write_text("_base_ = 'segmentation.py'\n"
                        f"custom_hooks = [dict(type='mmext.NonFiniteHook', policy='{name}')]\n")
        return path

    return write


def test_skip_leaves_the_step_out(policy, disturb):
    disturb(1, _poison)
    assert train(policy('skip'), 'run', 2, 'default_hooks.checkpoint.interval=1',
                 'optim_wrapper.optimizer.momentum=0.9') == 0
    assert 'step left out' in logged('run')
    before, after = (load_file(f'run/iter_{n}.pth', 'cpu') for n in (1, 2))
    weights = [key for key in before['state_dict'] if key.endswith('conv_seg.weight')]
    assert weights
    assert all(torch.equal(before['state_dict'][key], after['state_dict'][key]) for key in weights)


def test_skip_gives_up_after_a_while(policy, disturb, capsys):
    disturb(1, _poison, always=True)
    assert train(policy('skip'), 'run', 9) == 2
    assert 'iteration 5' in (error := capsys.readouterr().err) and '4 bad steps in a row' in error


def test_roll_back(policy, disturb):
    def spoil(runner):
        runner.model.decode_head.conv_seg.weight.data[0] = float('nan')

    disturb(1, spoil)
    assert train(policy('roll back'), 'run', 3, 'default_hooks.checkpoint.interval=1') == 0
    assert 'weights and optimizer are back at iter_1.pth' in logged('run')
    state = load_file('run/iter_3.pth', 'cpu')['state_dict']
    assert all(value.isfinite().all() for value in state.values() if value.is_floating_point())


def test_unknown_policy_is_named():
    from mmext.errors import UserError
    with pytest.raises(UserError, match="policy cannot be 'rollback'; did you mean roll back?"):
        HOOKS.build(dict(type='mmext.NonFiniteHook', policy='rollback'))


def test_waiting_for_data_is_said_once(configs, monkeypatch):
    import time

    from mmext.engine import draws
    read = draws.read
    monkeypatch.setattr(draws, 'read', lambda *args: (time.sleep(0.05), read(*args))[1])
    config = configs['segmentation']
    config.with_name('slow.py').write_text(
        "_base_ = 'segmentation.py'\n"
        "custom_hooks = [dict(type='mmext.DataTimeHook', window=3, share=0.01)]\n")
    assert train(config.with_name('slow.py'), 'run', 16) == 0
    assert logged('run').count('training waits for its data') == 1


def test_guards_are_silent_in_a_healthy_run(configs, caplog):
    caplog.set_level(logging.WARNING)
    assert train(configs['segmentation'], 'run', 2) == 0
    rows = [json.loads(line) for path in Path('run').glob('*/vis_data/scalars.json')
            for line in path.read_text().splitlines()]
    assert len([row for row in rows if 'loss' in row]) == 2
    assert 'mmext' not in logged('run').replace('mmext.', '').split('Hooks will be executed')[-1]

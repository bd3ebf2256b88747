"""``kill -9`` at any moment of a training, in the middle of a checkpoint's writing too."""
from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

from mmext.engine.checkpoint import load_file
from mmext.engine.checkpoint.newest import newest_checkpoint

from ..cli.test_resume import same_training

OPTIONS = ['--seed', '3', '--no-validate', '--no-check', '--cfg-options', 'log_level=ERROR',
           'model.pretrained=None', 'train_dataloader.batch_size=1',
           'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
           'default_hooks.checkpoint.interval=1', 'default_hooks.checkpoint.max_keep_ckpts=2']


def _train(config: str, work_dir: str, iterations: int) -> None:
    """A new process of ``mmext train --resume``; it is forked from one that has imported the hosts."""
    import torch

    from mmext.cli.train import main
    torch.set_num_threads(1)
    os._exit(main([config, '--work-dir', work_dir, '--resume', *OPTIONS,
                   f'train_cfg.max_iters={iterations}']))


def _kill(process: multiprocessing.Process, work_dir: Path, moment: float, writing: bool) -> bool:
    """Kill after some seconds of training, or as soon as a checkpoint is being written after them."""
    before = newest_checkpoint(work_dir)[0]
    while process.is_alive() and newest_checkpoint(work_dir)[0] == before:
        time.sleep(0.01)  # starting up
    end = time.monotonic() + moment
    while process.is_alive() and time.monotonic() < end:
        time.sleep(0.01)
    while process.is_alive() and writing and not list(work_dir.glob('.iter_*.unfinished')):
        time.sleep(0.0005)
    if not process.is_alive():
        return False
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return True


@pytest.mark.parametrize('kills', [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments(configs, tmp_path, kills):
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['mmext.cli.train', 'mmseg.models', 'mmseg.datasets', 'mmseg.engine',
                                    'mmseg.evaluation', 'mmseg.visualization'])
    config, dice, iterations = str(configs['segmentation']), random.Random(kills), 4 * kills + 4

    def start(folder: str) -> multiprocessing.Process:
        process = context.Process(target=_train, args=(config, folder, iterations))
        process.start()
        return process

    undisturbed = start('whole')
    undisturbed.join()
    assert undisturbed.exitcode == 0
    work_dir = tmp_path / 'killed'
    work_dir.mkdir()
    struck = left_over = 0
    while struck < kills:
        process = start('killed')
        if not _kill(process, work_dir, dice.uniform(0, 0.4), writing=struck % 2 == 0):
            break
        struck += 1
        left_over += bool(list(work_dir.glob('.*.unfinished')))
        found, _ = newest_checkpoint(work_dir)
        assert found is not None, 'a kill left no whole checkpoint'
        load_file(found, 'cpu')
    assert struck == kills, f'the training was over after {struck} kills: give it more iterations'
    assert left_over, 'no kill fell into the writing of a file'
    process = start('killed')
    process.join()
    assert process.exitcode == 0
    same_training(Path('whole', f'iter_{iterations}.pth'), work_dir / f'iter_{iterations}.pth')
    assert not list(work_dir.glob('.*.unfinished')), 'files of killed processes are left behind'

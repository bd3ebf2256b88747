"""Two processes train what one does with the summed batch."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mmext.cli.train import main
from mmext.engine.checkpoint import load_file

from ..cli.test_resume import same_training

ROOT = Path(__file__).parents[2]
# Without batch statistics, which a process takes over its own images.
NORM = """
_base_ = 'segmentation.py'
norm_cfg = dict(type='GN', num_groups=2)
model = dict(pretrained=None, backbone=dict(norm_cfg=norm_cfg),
             decode_head=dict(norm_cfg=norm_cfg, dropout_ratio=0))
"""
OPTIONS = ['--seed', '3', '--no-validate', '--cfg-options', 'log_level=ERROR', 'train_cfg.max_iters=3',
           'train_dataloader.persistent_workers=False', 'optim_wrapper.optimizer.lr=0.1']


@pytest.mark.parametrize('workers', [0, pytest.param(2, marks=pytest.mark.slow)])
def test_two_processes_equal_one_with_the_summed_batch(configs, workers):
    """Weights after three steps agree to 1e-5; augmentations are the same by construction."""
    config = configs['segmentation'].with_name('normalised.py')
    config.write_text(NORM)
    assert main([str(config), '--work-dir', 'one', *OPTIONS, 'train_dataloader.batch_size=4',
                 'train_dataloader.num_workers=0']) == 0
    done = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node=2', '--master-port=0',
         '--rdzv-backend=c10d', '--rdzv-endpoint=localhost:0', str(ROOT / 'tools' / 'train.py'), str(config),
         '--work-dir', 'two', '--launcher', 'pytorch', *OPTIONS, 'train_dataloader.batch_size=2',
         f'train_dataloader.num_workers={workers}'],
        env={**os.environ, 'OMP_NUM_THREADS': '1'}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (load_file(f'{name}/iter_3.pth', 'cpu')['state_dict'] for name in ('one', 'two'))
    assert one and one.keys() == two.keys()
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-5, atol=1e-5,
                                   msg=lambda text, key=key: f'{key}: {text}')


def _children(pid: int) -> list[int]:
    return [int(child) for task in Path(f'/proc/{pid}/task').iterdir()
            for child in (task / 'children').read_text().split()]


@pytest.mark.slow
def test_a_killed_rank_is_restarted_and_nothing_is_lost(configs):
    """torch elastic starts both processes again; they go on from the newest whole checkpoint."""
    config = configs['segmentation'].with_name('normalised.py')
    config.write_text(NORM)
    options = [*(one for one in OPTIONS if 'max_iters' not in one), 'train_cfg.max_iters=30',
               'train_dataloader.batch_size=1', 'train_dataloader.num_workers=0',
               'default_hooks.checkpoint.interval=1',
               'default_hooks.checkpoint.max_keep_ckpts=2']

    def start(folder: str) -> subprocess.Popen:
        return subprocess.Popen(
            [str(ROOT / 'tools' / 'dist_train.sh'), str(config), '2', '--work-dir', folder, '--resume',
             *options],
            env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHON': sys.executable, 'PORT': '29653',
                 'MAX_RESTARTS': '2'}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert start('undisturbed').wait(timeout=300) == 0
    job = start('struck')
    while not Path('struck/iter_3.pth').exists():
        assert job.poll() is None, 'over before it could be struck'
        time.sleep(0.05)
    os.kill(_children(job.pid)[1], signal.SIGKILL)
    assert job.wait(timeout=300) == 0
    same_training(Path('undisturbed/iter_30.pth'), Path('struck/iter_30.pth'))
    logs = sorted(Path('struck').glob('*/*.log'))
    assert len(logs) >= 2, 'it was never restarted'

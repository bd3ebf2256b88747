"""A Distiller in two processes trains what one does with the summed batch."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmext.cli.train import main
from mmext.engine.checkpoint import load_file

from .test_distributed import NORM, OPTIONS

ROOT = Path(__file__).parents[2]
# A connector that learns from the second step on: a parameter without gradient would stop DDP.
DISTIL = """
_base_ = 'normalised.py'
model = dict(
    _delete_=True, type='mmext.Distiller', student=_base_.model,
    teachers=dict(big=dict(model=_base_.model, random=True)),
    records=dict(own=dict(net='student', module='neck', index=0), logits=dict(net='student',
                 module='decode_head.conv_seg'), taught=dict(net='big', module='neck', index=0),
                 scores=dict(net='big', module='decode_head.conv_seg')),
    connectors=dict(to_big=dict(input='own', layer=dict(
        type='mmext.ConvConnector', in_channels=8, out_channels=8))),
    losses=dict(
        loss_feat=dict(loss=dict(type='mmext.FeatureDistillLoss'), pred='to_big', target='taught',
                       schedule=dict(kind='step', end=1)),
        loss_cwd=dict(loss=dict(type='mmext.ChannelWiseDistillLoss', tau=4.0), pred='logits',
                      target='scores')))
"""


@pytest.mark.slow
def test_two_processes_equal_one_with_the_summed_batch(configs):
    """Weights after three steps agree to 1e-5, those of the connector too; no teacher is saved."""
    configs['segmentation'].with_name('normalised.py').write_text(NORM)
    config = configs['segmentation'].with_name('distil.py')
    config.write_text(DISTIL)
    assert main([str(config), '--work-dir', 'one', *OPTIONS, 'train_dataloader.batch_size=4',
                 'train_dataloader.num_workers=0']) == 0
    done = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node=2', '--master-port=0',
         '--rdzv-backend=c10d', '--rdzv-endpoint=localhost:0', str(ROOT / 'tools' / 'train.py'), str(config),
         '--work-dir', 'two', '--launcher', 'pytorch', *OPTIONS, 'train_dataloader.batch_size=2',
         'train_dataloader.num_workers=0'],
        env={**os.environ, 'OMP_NUM_THREADS': '1'}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (load_file(f'{name}/iter_3.pth', 'cpu')['state_dict'] for name in ('one', 'two'))
    assert one.keys() == two.keys()
    assert {key.partition('.')[0] for key in one} == {'student', 'connectors'}
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-5, atol=1e-5,
                                   msg=lambda text, key=key: f'{key}: {text}')

"""The strategies that share a model among processes."""
from __future__ import annotations

import inspect
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mmengine._strategy import DeepSpeedStrategy
from mmengine.model import BaseModel
from torch import nn

from mmext.cli.config import load_config
from mmext.cli.train import main
from mmext.engine.checkpoint import load_file
from mmext.engine.config_check import check_config
from mmext.engine.sharding import wrap_called_modules

from .test_distributed import NORM, OPTIONS

ROOT = Path(__file__).parents[2]
STRATEGIES = ROOT / 'configs' / '_base_' / 'strategies'
DEEPSPEED = """
optim_wrapper = dict(_delete_=True, type='DeepSpeedOptimWrapper', optimizer=dict(type='SGD', lr=0.01))
"""


def _with(configs: dict[str, Path], strategy: str) -> Path:
    path = configs['segmentation'].with_name('sharded.py')
    bases = ['segmentation.py', str(STRATEGIES / f'{strategy}.py')]
    own = DEEPSPEED if strategy.startswith('deepspeed') else ''
    path.write_text(NORM.replace("_base_ = 'segmentation.py'", f'_base_ = {bases}') + own)
    return path


def test_heads_are_no_units_of_their_own():
    class Head(nn.Sequential):
        def loss(self):
            return 0

    class Model(BaseModel):
        def __init__(self):
            super().__init__()
            self.backbone, self.head = nn.Sequential(nn.Linear(9, 9)), Head(nn.Linear(9, 9))

        def loss(self):
            return 0

        def forward(self, inputs, data_samples=None, mode='tensor'):
            return inputs

    model = Model()
    for recurse in (True, False):
        assert wrap_called_modules(model, recurse, 180, min_num_params=50)
        assert wrap_called_modules(model.backbone, recurse, 90, min_num_params=50)
        assert not wrap_called_modules(model.head, recurse, 90, min_num_params=50)
    assert not wrap_called_modules(model.backbone, False, 90, min_num_params=91)


@pytest.mark.parametrize('strategy', ['fsdp', 'deepspeed_zero2'])
def test_configs_are_sound(configs, strategy):
    cfg = load_config(str(_with(configs, strategy)))
    assert cfg.runner_type == 'FlexibleRunner'
    assert check_config(cfg) == []


def test_deepspeed_takes_every_argument(configs):
    strategy = load_config(str(_with(configs, 'deepspeed_zero2'))).strategy
    known = inspect.signature(DeepSpeedStrategy.__init__).parameters
    assert set(strategy) - {'type'} <= set(known)


@pytest.mark.parametrize('strategy, message', [
    ('fsdp', "strategy.type: 'FSDPStrategy' needs processes to share the model among: "
     'tools/dist_train.sh CONFIG GPUS, or --launcher'),
    pytest.param(
        'deepspeed_zero2',
        "strategy.type: 'DeepSpeedStrategy' needs the package deepspeed: pip install deepspeed",
        marks=pytest.mark.skipif(find_spec('deepspeed') is not None, reason='it is there')),
])
def test_what_is_missing_is_said(configs, capsys, strategy, message):
    assert main([str(_with(configs, strategy)), '--no-leaderboard', '--no-check']) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_two_sharded_processes_equal_one_with_the_summed_batch(configs):
    """Weights after three steps agree to 1e-5, in a checkpoint as one process writes it."""
    config = _with(configs, 'fsdp')
    plain = config.with_name('normalised.py')
    plain.write_text(NORM)
    assert main([str(plain), '--work-dir', 'one', *OPTIONS, 'train_dataloader.batch_size=4',
                 'train_dataloader.num_workers=0']) == 0
    done = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node=2', '--rdzv-backend=c10d',
         '--rdzv-endpoint=localhost:0', str(ROOT / 'tools' / 'train.py'), str(config), '--work-dir', 'two',
         '--launcher', 'pytorch', *OPTIONS, 'train_dataloader.batch_size=2', 'train_dataloader.num_workers=0',
         'strategy.model_wrapper.auto_wrap_policy.min_num_params=1000'],
        env={**os.environ, 'OMP_NUM_THREADS': '1'}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (load_file(f'{name}/iter_3.pth', 'cpu') for name in ('one', 'two'))
    assert one['state_dict'].keys() == two['state_dict'].keys()
    for key, value in one['state_dict'].items():
        torch.testing.assert_close(two['state_dict'][key], value, rtol=1e-5, atol=1e-5, msg=key)
    assert two['optimizer']['state'], 'the whole optimizer state is there'

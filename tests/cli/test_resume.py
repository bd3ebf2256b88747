"""A resumed run equals an undisturbed one, and a broken checkpoint is passed over."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mmext.cli.train import main
from mmext.engine.checkpoint import load_file

QUIET = ['log_level=ERROR', 'default_hooks.logger.interval=1']


def train(config: Path, work_dir: str, *options: str, resume: str | None = None) -> Path:
    arguments = [str(config), '--work-dir', work_dir, '--seed', '3', '--no-validate']
    if resume is not None:
        arguments += ['--resume', resume]
    assert main([*arguments, '--cfg-options', *QUIET, *options]) == 0
    return Path(work_dir)


def differences(a: Any, b: Any, name: str = '') -> list[str]:
    """Where two checkpoints differ, bit for bit, apart from times and paths."""
    if isinstance(a, torch.Tensor):
        same = isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
        return [] if same else [name]
    if isinstance(a, dict):
        if not isinstance(b, dict) or a.keys() != b.keys():
            return [f'{name}: keys']
        return [line for key in a for line in differences(a[key], b[key], f'{name}.{key}')]
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return [f'{name}: length']
        return [line for i, (x, y) in enumerate(zip(a, b)) for line in differences(x, y, f'{name}[{i}]')]
    return [] if a == b else [name]


def same_training(a: Path, b: Path) -> None:
    one, other = load_file(a, 'cpu'), load_file(b, 'cpu')
    keys = [key for key in one if key not in ('meta', 'message_hub')]
    assert keys and keys == [key for key in other if key not in ('meta', 'message_hub')]
    different = [line for key in keys for line in differences(one[key], other[key], key)]
    assert not different, f'{len(different)} differ: {different[:5]}'


AUGMENTED = ['model.backbone.init_cfg=None']
# Each line: config, options for four units in all, files after two and after four.
RUNS = [
    pytest.param('detection', ['train_cfg.max_epochs=4', 'default_hooks.checkpoint.interval=2', *AUGMENTED],
                 'epoch_2.pth', 'epoch_4.pth', id='epochs'),
    pytest.param('detection', ['train_cfg.max_epochs=4', 'default_hooks.checkpoint.interval=2', *AUGMENTED,
                               'train_dataloader.num_workers=2', 'train_dataloader.batch_size=2'],
                 'epoch_2.pth', 'epoch_4.pth', id='epochs-two_workers'),
    pytest.param('wrapped', ['train_cfg.max_epochs=4', 'default_hooks.checkpoint.interval=2',
                             'default_hooks.checkpoint.save_begin=0', *AUGMENTED],
                 'epoch_2.pth', 'epoch_4.pth', id='epochs-ema-wrapped_dataset'),
    pytest.param('segmentation', ['train_cfg.max_iters=4', 'default_hooks.checkpoint.interval=2',
                                  'model.pretrained=None', 'model.decode_head.dropout_ratio=0.5'],
                 'iter_2.pth', 'iter_4.pth', id='iterations-dropout'),
    pytest.param('segmentation', ['train_cfg.max_iters=6', 'default_hooks.checkpoint.interval=3',
                                  'model.pretrained=None', 'optim_wrapper.accumulative_counts=2'],
                 'iter_3.pth', 'iter_6.pth', id='iterations-unfinished_accumulation'),
    pytest.param('segmentation', ['train_cfg.max_iters=10', 'default_hooks.checkpoint.interval=5',
                                  'model.pretrained=None', 'train_dataloader.sampler.type=DefaultSampler',
                                  'train_dataloader.batch_size=4'],
                 'iter_5.pth', 'iter_10.pth', id='iterations-third_round_over_the_data'),
]


@pytest.mark.parametrize('name, options, half, whole', RUNS)
def test_half_resume_half_is_the_whole(configs, fresh_host, name, options, half, whole, monkeypatch):
    monkeypatch.setattr('time.sleep', lambda seconds: None)  # mmengine waits between rounds over the data
    one = train(configs[name], 'whole', *options)
    fresh_host()
    torch.manual_seed(99)  # a new process starts anywhere
    other = train(configs[name], 'halves', *options, resume=str(one / half))
    same_training(one / whole, other / whole)
    assert not (other / half).exists(), 'the second half trained the first one too'

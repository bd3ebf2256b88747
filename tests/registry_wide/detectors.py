"""Every detector of ours in a small form: the one of its toy config, with a batch of toy images."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, DefaultScope
from torch import nn

from mmext import hosts
from mmext.registry import MODELS

ROOT = Path(__file__).parents[2]


def _is_ours(path: Path) -> bool:
    """A detector that trains; wrappers (ensemble, semi-supervised, distiller) have tests of their own."""
    cfg = Config.fromfile(path)
    wrapped = 'detector' in cfg.model or 'student' in cfg.model
    detects = cfg.default_scope in ('mmdet', 'mmrotate')
    return detects and cfg.model.type.startswith('mmext.') and 'train_cfg' in cfg and not wrapped


TOYS = [path for path in sorted((ROOT / 'configs').glob('*/*_toy.py')) if _is_ours(path)]


def each_detector() -> pytest.MarkDecorator:
    """Parametrise a test over the toy configs whose model is a class of ours."""
    return pytest.mark.parametrize('config', [pytest.param(path, id=path.stem) for path in TOYS])


def build(config: Path, seed: int = 0, **model: Any) -> nn.Module:
    """The model of a toy config, with other arguments ``model``, and seeded weights."""
    hosts.repair()
    cfg = Config.fromfile(config)
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build({**cfg.model, **model})
        model.init_weights()
    return model


def batch(config: Path, count: int = 2) -> dict[str, Any]:
    """Images and annotations as the config's training pipeline gives them, before preprocessing."""
    cfg = Config.fromfile(config)
    for one in cfg.train_dataloader.dataset.get('datasets', ()):
        one.dataset.pop('indices', None)  # of the whole toy data
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    torch.manual_seed(0)
    return pseudo_collate([dataset[index] for index in range(count)])

"""Every backbone of the catalogue in a small form: the one of its toy config."""
from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from torch import nn

import mmext  # noqa: F401  arms the repairs
from mmext.catalogue import CATALOGUE
from mmext.registry import MODELS

ROOT = Path(__file__).parents[2]
BACKBONES = [entry for entry in CATALOGUE if entry.kind == 'backbone']


def toy_config(method: str) -> dict[str, Any]:
    """The ``model.backbone`` of a dense toy config of a method (detection or segmentation)."""
    paths = sorted((ROOT / 'configs' / method).glob('*_toy.py'))
    dense = [path for path in paths if path.stem != f'{method}_toy']
    assert dense, f'configs/{method} has no toy detector or segmentor'
    cfg = copy.deepcopy(Config.fromfile(dense[0]).model.backbone.to_dict())
    cfg.pop('_scope_', None)
    return cfg


def build(method: str, seed: int = 0, **changes: Any) -> nn.Module:
    """The toy backbone with seeded weights; norms get statistics, so that they do something."""
    torch.manual_seed(seed)
    backbone = MODELS.build({**toy_config(method), **changes})
    backbone.init_weights()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return backbone.eval()


def each_backbone() -> pytest.MarkDecorator:
    """Parametrise a test over the methods that are backbones."""
    return pytest.mark.parametrize('method', [entry.method for entry in BACKBONES])

"""Build whole models without memory for their weights."""
from __future__ import annotations

from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from mmext import hosts
from mmext.engine.meta import on_meta
from mmext.registry import MODELS


def build_on_meta(cfg: Config) -> nn.Module:
    """The model of a config, its parameters on the meta device."""
    hosts.repair()
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')), on_meta():
        return MODELS.build(cfg.model)


def count(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())

"""Build whole models without memory for their weights."""
from __future__ import annotations

from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn
from torch.overrides import TorchFunctionMode

from mmext import hosts
from mmext.registry import MODELS

_NUMBERS = (torch.linspace, torch.arange, torch.tensor)


class _NumbersOnCPU(TorchFunctionMode):
    """Tensors that a constructor reads values from (drop path rates, anchors) stay real."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in _NUMBERS:
            kwargs.setdefault('device', 'cpu')
        return func(*args, **kwargs)


def build_on_meta(cfg: Config) -> nn.Module:
    """The model of a config, its parameters on the meta device."""
    hosts.repair()
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')), torch.device('meta'), \
            _NumbersOnCPU():
        return MODELS.build(cfg.model)


def count(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())

"""Build models for their names and shapes, without memory for their weights."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_NUMBERS = (torch.linspace, torch.arange, torch.tensor)


class _NumbersOnCPU(TorchFunctionMode):
    """Tensors that a constructor reads values from (drop path rates, anchors) stay real."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in _NUMBERS:
            kwargs.setdefault('device', 'cpu')
        return func(*args, **kwargs)


@contextmanager
def on_meta() -> Iterator[None]:
    """Modules built inside have their parameters on the meta device."""
    with torch.device('meta'), _NumbersOnCPU():
        yield

"""Weights of distillation losses over the training."""
from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mmengine.logging import MessageHub

from mmext.errors import UserError, did_you_mean

_KEYS = ('kind', 'begin', 'end', 'start', 'stop', 'by_epoch')
_KINDS = ('linear', 'cosine', 'step')


class WeightSchedule:
    """A factor that goes from ``start`` to ``stop`` between ``begin`` and ``end``.

    It is a function of the run's iteration (or epoch) alone, so that a resumed run goes on exactly.

    Args:
        kind: 'linear', 'cosine', or 'step' (jumps at ``end``).
        begin, end: In iterations, or epochs with ``by_epoch``; ``end`` is after ``begin``.
        start, stop: The factor before ``begin`` and from ``end`` on.
        by_epoch: Count epochs.

    Raises:
        UserError: On an unknown kind or ``end <= begin``.
    """

    def __init__(self, kind: str = 'linear', begin: int = 0, end: int = 0, start: float = 0.,
                 stop: float = 1., by_epoch: bool = False) -> None:
        if kind not in _KINDS:
            raise UserError(f"schedule: no kind '{kind}'{did_you_mean(kind, _KINDS)} (choose from "
                            f'{", ".join(_KINDS)})')
        if end <= begin:
            raise UserError(f'schedule: end={end} must be after begin={begin}')
        self.kind, self.begin, self.end, self.start, self.stop = kind, begin, end, start, stop
        self.by_epoch = by_epoch

    @classmethod
    def from_cfg(cls, where: str, cfg: Mapping[str, Any]) -> WeightSchedule:
        """From ``dict(kind='linear', begin=0, end=500)``."""
        for key in cfg:
            if key not in _KEYS:
                raise UserError(f"{where}: schedule has the unknown key '{key}'{did_you_mean(key, _KEYS)}")
        return cls(**cfg)

    def at(self, time: int) -> float:
        """The factor at an iteration (or epoch)."""
        share = min(max((time - self.begin) / (self.end - self.begin), 0.), 1.)
        if self.kind == 'step':
            share = float(share >= 1)
        elif self.kind == 'cosine':
            share = (1 - math.cos(math.pi * share)) / 2
        return self.start + (self.stop - self.start) * share

    def now(self) -> float:
        """The factor at the run's present iteration; at 0 outside of a run."""
        info = MessageHub.get_current_instance().runtime_info
        return self.at(int(info.get('epoch' if self.by_epoch else 'iter', 0)))

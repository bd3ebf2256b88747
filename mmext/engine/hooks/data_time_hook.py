"""Says when training waits for its data."""
from __future__ import annotations

import time
from typing import Any

from mmengine.hooks import Hook

from ...registry import HOOKS


@HOOKS.register_module()
class DataTimeHook(Hook):
    """Warns once when loading takes up most of the step, with what to try.

    Args:
        share: Share of the step's time, 0 to 1, above which it warns.
        window: Number of steps over which it measures; the first few, in which workers start and
            kernels are chosen, are left out.
    """

    priority = 'LOW'

    def __init__(self, share: float = 0.3, window: int = 50) -> None:
        self.share, self.window = share, window
        self._said = False
        self._seen, self._waited, self._start, self._end = 0, 0.0, 0.0, 0.0

    def before_train_epoch(self, runner: Any) -> None:
        """Validation between two epochs is not loading."""
        self._seen, self._waited, self._end = 0, 0.0, 0.0

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """The batch is there."""
        now = time.perf_counter()
        if self._seen == 10:
            self._start, self._waited = self._end, 0.0
        if self._end:
            self._waited += now - self._end

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        """The step is over."""
        self._end = time.perf_counter()
        self._seen += 1
        if self._said or self._seen != 10 + self.window:
            return
        share = self._waited / (self._end - self._start)
        if share > self.share and runner.rank == 0:
            self._said = True
            loader = runner.train_loop.dataloader
            runner.logger.warning(
                f'training waits for its data {share:.0%} of the time ({loader.num_workers} workers per '
                'process). Try a larger train_dataloader.num_workers, persistent_workers=True, smaller '
                'images on disk, or a faster disk.')

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Nor is validation between two steps."""
        self._end = 0.0

"""Ends distillation before the training ends."""
from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop

from ...errors import UserError
from ...registry import HOOKS


@HOOKS.register_module()
class DistillScheduleHook(Hook):
    """Switches all distillation losses of a :class:`mmext.Distiller` on at ``begin`` and off at ``end``.

    While they are off no teacher runs. It follows from the run's iteration alone, so a resumed run goes on
    exactly. For one loss alone, and for ramps, use the loss's ``schedule``.

    Args:
        begin: First iteration (or epoch) that distils.
        end: First one that does not any more; None: until the end of the training.
        by_epoch: Count epochs; for epoch-based loops.

    Raises:
        UserError: If ``end`` is not after ``begin``, the model is no Distiller, or ``by_epoch`` is set in a
            loop that counts iterations only.
    """

    priority = 'NORMAL'

    def __init__(self, begin: int = 0, end: int | None = None, by_epoch: bool = False) -> None:
        if end is not None and end <= begin:
            raise UserError(f'DistillScheduleHook: end={end} must be after begin={begin}')
        self.begin, self.end, self.by_epoch = begin, end, by_epoch

    def before_train(self, runner: Any) -> None:
        """Refuse other models before any work."""
        if not hasattr(self._bare(runner), 'distilling'):
            raise UserError(f'DistillScheduleHook: {type(self._bare(runner)).__name__} is no mmext.Distiller')
        if self.by_epoch and isinstance(runner.train_loop, IterBasedTrainLoop):
            raise UserError('DistillScheduleHook: by_epoch=True, but the loop counts iterations only: give '
                            'begin and end in iterations')

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Set the switch."""
        now = runner.epoch if self.by_epoch else runner.iter
        self._bare(runner).distilling = self.begin <= now and (self.end is None or now < self.end)

    @staticmethod
    def _bare(runner: Any) -> Any:
        return runner.model.module if is_model_wrapper(runner.model) else runner.model

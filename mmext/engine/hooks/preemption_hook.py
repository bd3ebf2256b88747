"""Save and leave when the cluster wants its machine back."""
from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, is_distributed
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

from ...registry import HOOKS
from ..checkpoint.newest import POINTER
from ..checkpoint.saving import durable_file

REQUEUE = 75  # EX_TEMPFAIL: "try again later"; tools/slurm_train.sh puts the job back on it


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM or SIGUSR1: finish the step, save a checkpoint, exit with code 75.

    ``--resume`` then goes on from that step, in the middle of an epoch too.

    Args:
        interval: With several processes, number of steps between looks at whether any of them was
            told to leave. All must leave at the same step.
    """

    priority = 'LOWEST'  # after schedulers, averages and the usual checkpoint of the step
    signals = (signal.SIGTERM, signal.SIGUSR1)

    def __init__(self, interval: int = 10) -> None:
        self.interval = interval
        self._received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def before_train(self, runner: Any) -> None:
        """Listen."""
        for number in self.signals:
            self._before[number] = signal.signal(number, self._receive)

    def after_train(self, runner: Any) -> None:
        """Stop listening."""
        while self._before:
            signal.signal(*self._before.popitem())

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received = signal.Signals(number)

    def _is_to_leave(self, step: int) -> bool:
        if not is_distributed():
            return self._received is not None
        if step % self.interval:
            return False
        told = torch.tensor(int(self._received is not None))
        all_reduce(told, 'max')
        return bool(told)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        """Leave, unless the epoch ends with this step: its own hooks come first then."""
        loop = runner.train_loop
        if isinstance(loop, EpochBasedTrainLoop) and batch_idx + 1 >= len(loop.dataloader):
            return
        if self._is_to_leave(runner.iter + 1):
            step = runner.iter + 1
            self._leave(runner, f'iter_{step}.pth', dict(epoch=runner.epoch, iter=step))

    def after_train_epoch(self, runner: Any) -> None:
        """Leave at the end of an epoch."""
        if isinstance(runner.train_loop, EpochBasedTrainLoop) and self._is_to_leave(0):
            epoch = runner.epoch + 1
            self._leave(runner, f'epoch_{epoch}.pth', dict(epoch=epoch, iter=runner.iter))

    def _leave(self, runner: Any, name: str, meta: dict) -> None:
        path = Path(runner.work_dir) / name
        runner.save_checkpoint(runner.work_dir, name, meta=meta, by_epoch=False)
        if runner.rank == 0:
            with durable_file(path.parent / POINTER) as file:
                file.write(str(path).encode())
        why = self._received.name if self._received else 'another process was told to'
        runner.logger.warning(f'leaving ({why}): saved {path}; go on with --resume')
        self.after_train(runner)
        barrier()  # a launcher ends the others when one leaves: rank 0 may still be writing
        raise SystemExit(REQUEUE)

"""mmengine's checkpoint hook, in an order that a crash cannot hurt."""
from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.hooks import CheckpointHook as HostCheckpointHook

from ...errors import UserError
from ...registry import HOOKS
from ..checkpoint.newest import POINTER
from ..checkpoint.saving import UNFINISHED, durable_file


class _RemoveLater:
    """A file backend that keeps what it is told to remove until it is told to go on."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._files: list[str] = []
        self._folders: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._files.append(path)

    def rmtree(self, path: str) -> None:
        self._folders.append(path)

    def go_on(self, keep: set[str]) -> None:
        for path in self._files:
            if path not in keep:
                self._backend.remove(path)
        for path in self._folders:
            if path not in keep:
                self._backend.rmtree(path)


@HOOKS.register_module()
class CheckpointHook(HostCheckpointHook):
    """mmengine's hook, with two differences; the arguments are the same.

    * An old checkpoint is removed *after* the new one is whole and ``last_checkpoint`` names it.
      The host removes first: a crash in between leaves none with ``max_keep_ckpts=1``.
    * When a checkpoint cannot be written (disk full, folder gone) training goes on with a warning
      and the older ones stay; only the end of training without its last checkpoint is an error.
    """

    file_backend: Any
    last_ckpt: str | None

    def before_train(self, runner: Any) -> None:
        """Look at the folder, and clear away what a killed process was writing."""
        super().before_train(runner)
        self._unwritten: str | None = None
        if runner.rank == 0:
            for folder in {Path(runner.work_dir), Path(str(self.out_dir))}:
                for file in folder.glob(f'.*{UNFINISHED}'):
                    file.unlink(missing_ok=True)

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        with self._old_ones_last(runner):
            super()._save_checkpoint_with_step(runner, step, meta)
            self._point(runner)

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        with self._old_ones_last(runner):
            super()._save_best_checkpoint(runner, metrics)

    def after_train(self, runner: Any) -> None:
        """Publish as the host does.

        Raises:
            UserError: If the last checkpoint of the training could not be written.
        """
        if self._unwritten is not None:
            raise UserError(f'the last checkpoint could not be written: {self._unwritten}. Make room and '
                            'run the same command with --resume: it goes on from '
                            f'{self.last_ckpt or "the start"}.')
        super().after_train(runner)

    @contextmanager
    def _old_ones_last(self, runner: Any) -> Iterator[None]:
        if isinstance(self.file_backend, _RemoveLater):  # the best one is followed by the newest one
            yield
            return
        host, info = self.file_backend, runner.message_hub.runtime_info
        before = {name: info.get(name) for name in info
                  if name in ('keep_ckpt_ids', 'last_ckpt') or name.startswith('best_')}
        kept, last = list(getattr(self, 'keep_ckpt_ids', ())), self.last_ckpt
        best = {name: value if isinstance(value, str | None) else dict(value)
                for name, value in vars(self).items() if name.startswith('best_ckpt_path')}
        self.file_backend = _RemoveLater(host)
        try:
            yield
            self._unwritten = None
        except OSError as error:
            for name in [name for name in info if name not in before and
                         (name in ('keep_ckpt_ids', 'last_ckpt') or name.startswith('best_'))]:
                info.pop(name)
            info.update(before)
            if hasattr(self, 'keep_ckpt_ids'):
                self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
            self.last_ckpt = last
            self.__dict__.update(best)
            self._unwritten = f'{error.strerror or error} ({error.filename or self.out_dir})'
            runner.logger.warning(f'checkpoint not written: {self._unwritten}; the older ones stay, training '
                                  'goes on')
        else:
            new = {self.last_ckpt, *(value for value in info.values() if isinstance(value, str))}
            self.file_backend.go_on(keep={path for path in new if path is not None})
        finally:
            self.file_backend = host

    def _point(self, runner: Any) -> None:
        """Write the pointer as a whole; the host truncates it first."""
        if runner.rank == 0:
            with durable_file(Path(runner.work_dir) / POINTER) as file:
                file.write(str(self.last_ckpt).encode())

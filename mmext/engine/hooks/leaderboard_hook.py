"""A record of every evaluation, and a page about every test."""
from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from ...apis.writers import replacing
from ...errors import UserError
from ...leaderboard import collect
from ...leaderboard.budget import Budget
from ...leaderboard.figures import dataset_name
from ...leaderboard.gallery import Gallery
from ...leaderboard.published import beside
from ...leaderboard.record import Record, plain
from ...leaderboard.report import write_report
from ...leaderboard.store import Store
from ...leaderboard.transfer import to_json
from ...registry import HOOKS

#: Written to the work directory when the store cannot take a record; ``mmext leaderboard import`` reads it.
UNRECORDED = 'leaderboard_record.json'


@HOOKS.register_module()
class LeaderboardHook(Hook):
    """Keeps a record of every evaluation; after a test writes ``report.html`` to the work directory.

    ``mmext train`` and ``mmext test`` add it; with a host's own tools, name it in ``custom_hooks``.
    Nothing that goes wrong in it stops a run: a record that the store does not take is written to
    ``leaderboard_record.json``.

    Args:
        run: Name of the run; None takes the work directory's.
        dataset: Name of the data; None derives it from the config.
        store: The leaderboard's file; None takes ``MMEXT_LEADERBOARD``, else
            ``work_dirs/leaderboard.sqlite``.
        record: Keep records.
        report: Write the page.
        share: Of the run's time, from 0 to 1, that the page with its pictures may take.
        started: When the run began, by ``time.monotonic()``; None means when the test did.

    Example:
        >>> custom_hooks = [dict(type='mmext.LeaderboardHook')]
    """

    priority = 'VERY_LOW'

    def __init__(self, run: str | None = None, dataset: str | None = None, store: str | None = None,
                 record: bool = True, report: bool = True, share: float = 0.05,
                 started: float | None = None) -> None:
        self.run, self.dataset = run, dataset
        self.store = Store(store)
        self.record, self.report, self.share = record, report, share
        self.started = started
        self._began = self._step = 0.
        self._steps: list[float] = []  # seconds for one image, of each batch
        self._gallery: Gallery | None = None

    # ------------------------------------------------------------------------------------ timing

    def before_test_epoch(self, runner: Any) -> None:
        """The clock starts; the images to show are looked for."""
        self._start()
        if self.report and runner.rank == 0:
            meta = getattr(runner.test_dataloader.dataset, 'metainfo', None) or {}
            classes, palette = list(meta.get('classes') or ()), meta.get('palette')
            if not isinstance(palette, list | tuple) or len(palette) < len(classes):
                from ...apis.drawing import distinct_colours
                palette = distinct_colours(len(classes))
            self._gallery = Gallery(Budget(self.share, self.started), classes, palette)

    def before_val_epoch(self, runner: Any) -> None:
        """The clock starts."""
        self._start()

    def _start(self) -> None:
        self._began, self._steps, self._gallery = time.monotonic(), [], None

    def before_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """The batch is there."""
        self._step = time.monotonic()

    before_val_iter = before_test_iter

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
                       ) -> None:
        """The predictions are there; the metric has taken them, so a GPU has finished."""
        self._steps.append((time.monotonic() - self._step) / max(1, len(outputs or ())))

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
                        ) -> None:
        """As after a validation's step; a look at the images too."""
        self.after_val_iter(runner, batch_idx, data_batch, outputs)
        if self._gallery is not None:
            try:
                self._gallery.add(outputs or ())
            except Exception as error:  # a page is no reason to lose hours of testing
                runner.logger.warning(f'no pictures in the report: {type(error).__name__}: {error}')
                self._gallery = None

    # ----------------------------------------------------------------------------------- records

    def after_val_epoch(self, runner: Any, metrics: dict[str, Any] | None = None) -> None:
        """Keep the record of a validation."""
        if self.record and runner.rank == 0 and metrics:
            last = runner.message_hub.get_info('last_ckpt') if 'last_ckpt' in \
                runner.message_hub.runtime_info else None
            checkpoint = collect.trained_checkpoint(runner, last)
            training = runner._train_loop is not None
            self._keep(runner, self._made(
                runner, metrics, 'val', checkpoint, seconds=time.monotonic() - self._began,
                epoch=runner.epoch if training else None, iteration=runner.iter if training else None))

    def after_test_epoch(self, runner: Any, metrics: dict[str, Any] | None = None) -> None:
        """Write the page and keep the record of a test."""
        if runner.rank != 0 or not metrics or not (self.record or self.report):
            return
        from mmengine.model import is_model_wrapper
        seconds, model = time.monotonic() - self._began, runner.model
        while is_model_wrapper(model):
            model = model.module
        flops, size = None, ''
        if self.record:
            flops, size = collect.flops(runner.cfg, model, self._latency(), seconds)
        record = self._made(runner, metrics, 'test', collect.tested_checkpoint(runner), seconds=seconds,
                            flops=flops, input_size=size)
        if self.report and self._gallery is not None:
            try:
                page, record = write_report(Path(runner.work_dir), record, self._gallery,
                                            str(self.store.path) if self.record else '')
                spent, run = self._gallery.budget.spent, self._gallery.budget.run
                runner.logger.info(f'report: {page} ({spent:.2f} s, {spent / run:.1%} of the run)')
            except Exception as error:  # as above
                runner.logger.warning(f'no report: {type(error).__name__}: {error}')
        if self.record:
            self._keep(runner, record)

    def _latency(self) -> float:
        """Median seconds for one image; the first steps, in which kernels are chosen, are left out."""
        steps = sorted(self._steps[2:] or self._steps)
        return steps[len(steps) // 2] if steps else 0.

    def _made(self, runner: Any, metrics: dict[str, Any], phase: str, checkpoint: tuple[str, str],
              seconds: float, **more: Any) -> Record:
        from mmengine.device import get_device
        loader = getattr(runner, f'{phase}_dataloader')
        evaluator = getattr(runner, f'{phase}_loop').evaluator
        dataset = self.dataset or dataset_name(runner.cfg.get(f'{phase}_dataloader'))
        config, values = collect.config_path(runner), plain(metrics)
        try:
            published = beside(config, dataset, values)
        except UserError as error:  # a broken metafile, of another method perhaps
            runner.logger.warning(f'no published numbers beside this run: {error}')
            published = ()
        return Record(
            run=self.run or Path(runner.work_dir).resolve().name, dataset=dataset, phase=phase,
            metrics={name: value for name, value in values.items() if isinstance(value, int | float | None)},
            config=config, config_text=collect.config_text(runner), checkpoint=checkpoint[0],
            checkpoint_digest=checkpoint[1], published=published,
            per_class=tuple(plain(collect.per_class(evaluator, metrics))), images=len(loader.dataset),
            seconds=round(seconds, 3),
            parameters=sum(one.numel() for one in runner.model.parameters()),
            latency_ms=round(1000 * self._latency(), 3) or None, memory_mb=collect.memory_mb(),
            environment=collect.environment(runner.cfg.get('default_scope') or 'mmengine', get_device()),
            work_dir=str(runner.work_dir), **more)

    def _keep(self, runner: Any, record: Record) -> None:
        try:
            kept = self.store.add(record)
            runner.logger.info(f'leaderboard: {kept.key} in {self.store.path}')
        except (UserError, OSError) as error:
            path = Path(runner.work_dir) / UNRECORDED
            with replacing(path) as temporary:
                temporary.write_text(to_json([record]), encoding='utf-8')
            runner.logger.warning(f'{error}\nThe record is in {path}; when the leaderboard can be written: '
                                  f'mmext leaderboard import {path}')

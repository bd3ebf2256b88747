"""``--smoke``: shrink any config to a trial of a few batches that still runs every part of it."""
from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from .run_config import world_size

if TYPE_CHECKING:
    from mmengine.config import Config

TRAIN_ITERATIONS = 2
TEST_IMAGES = 4
_TRAIN_BATCH = 2  # batch norm needs more than one sample


class FirstBatches:
    """A batch sampler that stops after some batches of another one.


    Args:
        sampler: What yields indices; the Runner passes the config's own.
        batch_size: Samples per batch.
        number: Batches to yield.
        inner: Config of the batch sampler to cut short; torch's own if None.
        drop_last: Whether to leave out an incomplete last batch (torch's batch sampler only).
        of_each: Whether every one of several joined data sets has its share, at least one batch; the
            metrics of each need something to evaluate.
    """

    def __init__(self, sampler: Any, batch_size: int, number: int,
                 inner: dict[str, Any] | None = None, drop_last: bool = False,
                 of_each: bool = False) -> None:
        from mmengine.registry import DATA_SAMPLERS
        from torch.utils.data import BatchSampler
        if inner is None:
            self.inner: Any = BatchSampler(sampler, batch_size, drop_last)
        else:
            self.inner = DATA_SAMPLERS.build(
                inner, default_args=dict(sampler=sampler, batch_size=batch_size))
        self.sampler = sampler  # hooks set its epoch
        self.batch_size = batch_size
        self.number = number
        #: Where each of the joined data sets ends.
        ends = getattr(getattr(sampler, 'dataset', None), 'cumulative_sizes', ()) if of_each else ()
        self._ends: list[int] = list(ends)

    def __iter__(self) -> Iterator[list[int]]:
        if len(self._ends) < 2:
            yield from islice(iter(self.inner), self.number)
            return
        left = [self._share] * len(self._ends)
        for batch in self.inner:
            part = bisect_right(self._ends, batch[0])
            if left[part]:
                left[part] -= 1
                yield batch
            if not any(left):
                return

    @property
    def _share(self) -> int:
        return max(self.number // len(self._ends), 1)

    def __len__(self) -> int:
        number = self._share * len(self._ends) if len(self._ends) > 1 else self.number
        return min(number, len(self.inner))


def _shrink_loader(loader: Any, batch_size: int, batches: int | None, of_each: bool = False) -> None:
    """Small batches, no workers, and (if ``batches`` is given) only so many of them."""
    if isinstance(loader, (list, tuple)):
        for one in loader:
            _shrink_loader(one, batch_size, batches, of_each)
        return
    kind = f'{__name__}.{FirstBatches.__name__}'
    if (loader.get('batch_sampler') or {}).get('type') == kind:
        return  # val and test often share one dataloader
    loader['num_workers'] = 0
    loader['persistent_workers'] = False
    for name in ('prefetch_factor', 'timeout', 'num_batch_per_epoch'):
        loader.pop(name, None)
    sampler = loader.get('sampler') or {}
    if 'batch_size' not in sampler:  # else it composes batches of its own (labelled : unlabelled)
        loader['batch_size'] = min(loader.get('batch_size', batch_size), batch_size)
    if batches is not None:
        loader['batch_sampler'] = dict(
            type=kind, number=batches, inner=loader.get('batch_sampler'),
            drop_last=loader.pop('drop_last', False), of_each=of_each)


def _drop_downloads(node: Any) -> list[str]:
    """Take weights from the internet out of ``node``; returns what was taken out."""
    dropped = []
    if isinstance(node, (list, tuple)):
        for one in node:
            dropped += _drop_downloads(one)
    elif isinstance(node, Mapping):
        for key, value in list(node.items()):
            if isinstance(value, Mapping) and value.get('type') == 'Pretrained' \
                    and '://' in str(value.get('checkpoint')):
                dropped.append(str(value['checkpoint']))
                node[key] = None  # type: ignore[index]
            elif key == 'pretrained' and isinstance(value, str) and '://' in value:
                dropped.append(value)
                node[key] = None  # type: ignore[index]
            else:
                dropped += _drop_downloads(value)
    return dropped


def shrink(cfg: Config) -> list[str]:
    """Turn ``cfg`` into a trial run, in place.

    Two training iterations (of the epoch or iteration loop the config has), a checkpoint, a
    validation on four images one by one; no worker processes, no downloads. Everything else,
    samplers, hooks and schedules included, stays as it is.

    Returns:
        Notes for the user on what this run leaves out.
    """
    notes = []
    weights = _drop_downloads(cfg.get('model'))
    if '://' in str(cfg.get('load_from') or ''):
        weights.append(cfg.load_from)
        cfg.load_from = None
    if weights:
        notes.append(f"starts from random weights instead of {', '.join(dict.fromkeys(weights))}")
    loop = cfg.get('train_cfg')
    if isinstance(loop, Mapping):
        _shrink_training(cfg, loop)
    batches = math.ceil(TEST_IMAGES / world_size())
    for phase in ('val', 'test'):
        loader = cfg.get(f'{phase}_dataloader')
        if loader is not None:
            _shrink_loader(loader, 1, batches, of_each=True)
    if cfg.get('val_dataloader') is None:
        notes.append('the config has no validation')
    return notes


def _shrink_training(cfg: Config, loop: Any) -> None:
    by_epoch = 'max_iters' not in loop
    length = 1 if by_epoch else TRAIN_ITERATIONS
    loop['max_epochs' if by_epoch else 'max_iters'] = length
    if cfg.get('val_dataloader') is not None:
        loop['val_interval'] = length
    for name in ('val_begin', 'dynamic_intervals'):
        loop.pop(name, None)
    _shrink_loader(cfg.train_dataloader, _TRAIN_BATCH, TRAIN_ITERATIONS if by_epoch else None)
    hooks = cfg.get('default_hooks') or {}
    checkpoint = hooks.get('checkpoint')
    if checkpoint is not None:
        checkpoint['interval'] = 1 if checkpoint.get('by_epoch', True) else TRAIN_ITERATIONS
        checkpoint.pop('save_begin', None)
    if hooks.get('logger') is not None:
        hooks['logger']['interval'] = 1

"""How the samples of several data sets are mixed."""
from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from ...errors import UserError, did_you_mean
from ...registry import DATA_SAMPLERS
from ..multi_dataset import MultiDataset

_SCHEDULE, _SHUFFLE = 0, 1  # families of random streams


@DATA_SAMPLERS.register_module()
class MultiDatasetSampler(Sampler):
    """Data sets in given shares, as single samples or as whole batches.

    The shares hold in every epoch up to one batch (what is missing is made up for in the next), the
    order is random. Each data set is gone through completely before a sample of it comes again,
    across epochs. What is read depends on seed, epoch and position only, not on the number of
    workers, so that :class:`mmext.ExactResumeHook` resumes exactly.

    Args:
        dataset: A :class:`mmext.MultiDataset`; the runner gives it.
        batch_size: Samples of a batch on one process; as in the data loader.
        ratios: Shares of the data sets, by name or in their order; any scale. By default as many as
            they have samples.
        one_dataset_per_batch: All samples of a process's batch are from one data set; different
            processes may have different ones at a time.
        epoch_length: Samples of an epoch over all processes; by default as many as there are. Rounded
            up to whole batches of all processes.
        seed: By default the run's.

    Raises:
        UserError: If ``dataset`` is something else, or a ratio is negative, missing, of an unknown data
            set, or of an empty one.

    Example:
        >>> train_dataloader = dict(
        ...     batch_size=4,
        ...     sampler=dict(type='mmext.MultiDatasetSampler', batch_size=4, ratios=dict(coco=3, voc=1)),
        ...     dataset=dict(type='mmext.MultiDataset', datasets=[...]))
    """

    def __init__(self,
                 dataset: MultiDataset,
                 batch_size: int,
                 ratios: Mapping[str, float] | Sequence[float] | None = None,
                 one_dataset_per_batch: bool = True,
                 epoch_length: int | None = None,
                 seed: int | None = None) -> None:
        if not isinstance(dataset, MultiDataset):
            raise UserError(f'MultiDatasetSampler needs an mmext.MultiDataset, got '
                            f'{type(dataset).__name__}')
        if batch_size < 1 or (epoch_length is not None and epoch_length < 1):
            raise UserError(f'MultiDatasetSampler: batch_size={batch_size}, epoch_length={epoch_length}: '
                            'expected 1 or more')
        dataset.full_init()
        self.dataset, self.batch_size = dataset, batch_size
        self.sizes = [len(one) for one in dataset.datasets]
        self.ratios = _shares(ratios, dataset.names, self.sizes)
        self.one_dataset_per_batch = one_dataset_per_batch
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        batches = math.ceil((epoch_length or sum(self.sizes)) / (batch_size * self.world_size))
        self._samples = batches * batch_size
        #: A unit is what the shares are counted in: a batch or a sample.
        self._unit = batch_size if one_dataset_per_batch else 1
        self._units = self._samples // self._unit * self.world_size

    def __len__(self) -> int:
        """Samples of this process in an epoch."""
        return self._samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        before, counts = self._counts()
        schedule = np.repeat(np.arange(len(counts)), counts)
        self._random(_SCHEDULE, self.epoch).shuffle(schedule)
        starts = np.cumsum([0, *self.sizes])
        orders: dict[tuple[int, int], np.ndarray] = {}
        used = list(before)
        for unit, which in enumerate(schedule.tolist()):
            first = used[which] * self._unit
            used[which] += 1
            if unit % self.world_size != self.rank:
                continue
            for place in range(first, first + self._unit):
                round_, index = divmod(place, self.sizes[which])
                if (which, round_) not in orders:
                    orders.pop((which, round_ - 2), None)
                    orders[which, round_] = self._random(_SHUFFLE, which, round_).permutation(
                        self.sizes[which])
                yield int(starts[which] + orders[which, round_][index])

    def _random(self, *key: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, *key))

    def _counts(self) -> tuple[list[int], list[int]]:
        """Units of each data set before this epoch, and in it."""
        total = counts = np.zeros_like(self.ratios, dtype=np.int64)
        for epoch in range(self.epoch + 1):
            total = total + counts
            wanted = np.maximum(self.ratios * self._units * (epoch + 1) - total, 0)
            wanted *= self._units / wanted.sum()
            counts = np.floor(wanted).astype(np.int64)
            missing = self._units - int(counts.sum())
            counts[np.argsort(counts - wanted, kind='stable')[:missing]] += 1
        return total.tolist(), counts.tolist()


def _shares(ratios: Mapping[str, float] | Sequence[float] | None, names: list[str],
            sizes: list[int]) -> np.ndarray:
    """The ratios in the order of the data sets, their sum 1."""
    if ratios is None:
        values = [float(size) for size in sizes]
    elif isinstance(ratios, Mapping):
        for name in ratios:
            if name not in names:
                raise UserError(f"ratios: there is no data set '{name}'{did_you_mean(name, names)} "
                                f'(there are {", ".join(names)})')
        missing = [name for name in names if name not in ratios]
        if missing:
            raise UserError(f'ratios lack {", ".join(missing)}; write 0 to leave a data set out')
        values = [float(ratios[name]) for name in names]
    else:
        if len(ratios) != len(names):
            raise UserError(f'ratios: {len(ratios)} for the {len(names)} data sets {", ".join(names)}')
        values = [float(ratio) for ratio in ratios]
    for name, size, value in zip(names, sizes, values):
        if not (math.isfinite(value) and value >= 0):
            raise UserError(f'ratios: {value} of {name}; expected 0 or more')
        if value and not size:
            raise UserError(f"ratios: {value} of {name}, which has no samples")
    if not sum(values):
        raise UserError('ratios: all are 0, or all data sets are empty')
    return np.array(values) / sum(values)

"""Random numbers of the data as a function of seed and position, not of history.

The hosts seed each loader worker once; what an augmentation draws then depends on everything the
worker has done before, and a resumed run goes on with other numbers. Here each sample's generators
are seeded from the run's seed and the sample's position in the whole stream of samples. The stream
is then the same after a resume, with any number of workers, and with any number of processes.
"""
from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

_DATA, _STEP, _ORDER = 0, 1, 2  # families of streams that never meet


def seed_generators(*key: int, cuda: bool = False) -> None:
    """Seed Python's, NumPy's and torch's generators from a key of non-negative integers.

    Args:
        key: What the numbers are to depend on.
        cuda: Also the generator of the current GPU, if this process uses one.
    """
    words = np.random.SeedSequence(key).generate_state(4)
    random.seed(int(words[0]) << 32 | int(words[1]))
    np.random.seed(words)
    torch_seed = int(words[2]) << 31 | int(words[3])
    # torch.manual_seed would queue a call for every device that is not initialised.
    torch.default_generator.manual_seed(torch_seed)
    if cuda and torch.cuda.is_initialized():
        torch.cuda.default_generators[torch.cuda.current_device()].manual_seed(torch_seed)


@contextmanager
def own_state(*key: int) -> Iterator[None]:
    """Seed the generators from a key for a block, and put them back where they were."""
    python, numpy, pytorch = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed_generators(*key)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(pytorch)


def seed_step(seed: int, rank: int, iteration: int) -> None:
    """Seed the generators for one training step of the model (dropout, sampling of proposals, ...)."""
    seed_generators(_STEP, seed, rank, iteration, cuda=True)


class Draw(list):
    """Indices of one batch, with the position of its samples in the stream."""

    def __init__(self, indices: Any, keys: list[tuple[int, ...]]) -> None:
        super().__init__(indices)
        self.keys = keys

    def __reduce__(self) -> tuple:
        return Draw, (list(self), self.keys)


class PositionedBatches:
    """A batch sampler that knows where in the stream it is and can start anywhere.

    Args:
        batch_sampler: What gives the batches of indices.
        sampler: What ``set_epoch`` reaches; the sampler inside, as a rule.
        seed: The run's seed.
        rank: This process.
        world_size: Number of processes; samplers deal their samples out in turn.
    """

    def __init__(self, batch_sampler: Any, sampler: Any, seed: int, rank: int, world_size: int) -> None:
        self.batch_sampler, self.sampler = batch_sampler, sampler
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self._epoch = self._first_epoch = 0
        self._skip = 0

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __getattr__(self, name: str) -> Any:
        if name in ('batch_sampler', 'sampler'):  # while being copied
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)

    def set_epoch(self, epoch: int) -> None:
        """Shuffle for an epoch; counted from the epoch in which a resumed run went on."""
        self._set_epoch(self._first_epoch + epoch)

    def _set_epoch(self, epoch: int) -> None:
        self._epoch = epoch
        for sampler in (self.batch_sampler, self.sampler):
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(epoch)

    def skip(self, num_samples: int) -> None:
        """Leave out what was trained on before a resume; called by mmengine's loop.

        Args:
            num_samples: Number of iterations times the batch size.
        """
        self.skip_batches(num_samples // self.batch_size)

    def skip_batches(self, number: int) -> None:
        """Leave out the first batches of the round that comes next."""
        self._skip = number

    @property
    def batch_size(self) -> int:
        """Samples in a batch."""
        return self.batch_sampler.batch_size

    def __iter__(self) -> Iterator[Draw]:
        skip, self._skip = self._skip, 0
        while True:
            samples = passed = 0
            stream = iter(self.batch_sampler)
            while True:
                # Some samplers draw from NumPy's own generator; it is given a state for each batch.
                with own_state(_ORDER, self.seed, self._epoch, samples):
                    batch = next(stream, None)
                if batch is None:
                    break
                indices = list(batch)
                if passed < skip:
                    passed += 1
                else:
                    yield Draw(indices, [(_DATA, self.seed, self._epoch,
                                          (samples + place) * self.world_size + self.rank)
                                         for place in range(len(indices))])
                samples += len(indices)
            if passed < skip or (skip and passed == skip and samples and passed == len(self)):
                # The run was resumed in a later round over the data than its first.
                skip -= passed
                self._first_epoch += 1
                self._set_epoch(self._epoch + 1)
                continue
            return


def read(dataset: Any, indices: list) -> list:
    """Samples of one batch, each read with generators of its own; torch calls it in the workers."""
    keys = getattr(indices, 'keys', None)
    if keys is None:
        return [dataset[index] for index in indices]
    samples = []
    for index, key in zip(indices, keys):
        seed_generators(*key)
        samples.append(dataset[index])
    return samples


def position(loader: DataLoader, seed: int, rank: int, world_size: int) -> bool:
    """Make what ``loader`` draws a function of seed and position.

    Args:
        loader: A training data loader, before its first iteration.
        seed: The run's seed.
        rank: This process.
        world_size: Number of processes.

    Returns:
        Whether it could be done: not for an iterable dataset, nor for one that reads whole
        batches itself.
    """
    dataset, batches = loader.dataset, loader.batch_sampler
    if isinstance(batches, PositionedBatches):
        return True
    if batches is None or isinstance(dataset, IterableDataset) or hasattr(dataset, '__getitems__'):
        return False
    inner = loader.sampler if hasattr(loader.sampler, 'set_epoch') or not hasattr(batches, 'sampler') \
        else batches.sampler
    positioned = PositionedBatches(batches, inner, seed, rank, world_size)
    # A DataLoader refuses new samplers once it is built, though it reads them at each iteration.
    vars(loader).update(batch_sampler=positioned, sampler=positioned)
    # torch asks a dataset for a whole batch by this name where it has it.
    vars(dataset)['__getitems__'] = functools.partial(read, dataset)
    return True

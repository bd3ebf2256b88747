"""How long things take: a step repeated after a warm-up, in percentiles, with what it ran on."""
from __future__ import annotations

import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...errors import UserError


@dataclass(frozen=True)
class Timing:
    """Durations of a repeated step.

    Attributes:
        seconds: Of every repetition, warm-up excluded; at least one.
        items: Images (or other items) per repetition.
        peak_memory: Most bytes in use: of the GPU while it ran, else of the process so far.
    """

    seconds: Sequence[float]
    items: int
    peak_memory: int

    @property
    def throughput(self) -> float:
        """Items per second, over all repetitions."""
        return self.items * len(self.seconds) / sum(self.seconds)

    def percentile(self, percent: float) -> float:
        """Seconds that ``percent`` % of the repetitions stayed within (linear interpolation)."""
        ordered = sorted(self.seconds)
        position = (len(ordered) - 1) * percent / 100
        low = int(position)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (position - low)

    def to_dict(self) -> dict[str, float | int]:
        """Milliseconds, items per second and MiB: one row of a table."""
        return dict(
            repetitions=len(self.seconds), items_per_repetition=self.items,
            mean_ms=round(1000 * statistics.fmean(self.seconds), 3),
            p50_ms=round(1000 * self.percentile(50), 3),
            p90_ms=round(1000 * self.percentile(90), 3),
            p99_ms=round(1000 * self.percentile(99), 3),
            min_ms=round(1000 * min(self.seconds), 3),
            items_per_second=round(self.throughput, 3),
            peak_memory_mib=round(self.peak_memory / 2**20, 1))


def _wait_for(device: torch.device) -> None:
    """Until the device has done what it was told."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    elif device.type == 'mps':
        torch.mps.synchronize()


def _peak_memory(device: torch.device) -> int:
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024  # Linux counts in KiB


def measure(step: Callable[[], Any], *, items: int = 1, warmup: int = 10, repetitions: int = 100,
            max_seconds: float | None = None,
            device: str | torch.device = 'cpu') -> Timing:
    """Time a step.

    Args:
        step: What to time; its result is dropped. :class:`StopIteration` ends the measurement.
        items: Images that one step handles.
        warmup: Steps before the clock starts (caches, kernels' choice, lazy initialisation).
        repetitions: Steps to time.
        max_seconds: Stop timing after this long, with at least one repetition.
        device: Device whose queue is to be empty before and after each step.

    Raises:
        UserError: If a number is out of range, or ``step`` ends before anything was timed.
    """
    if warmup < 0 or repetitions < 1:
        raise UserError(f'warm-up {warmup}, repetitions {repetitions}: expected at least 0 and 1')
    device = torch.device(device)
    seconds: list[float] = []
    try:
        for _ in range(warmup):
            step()
        _wait_for(device)
        if device.type == 'cuda':
            torch.cuda.reset_peak_memory_stats(device)
        begin = time.perf_counter()
        while len(seconds) < repetitions:
            start = time.perf_counter()
            step()
            _wait_for(device)
            now = time.perf_counter()
            seconds.append(now - start)
            if max_seconds is not None and now - begin >= max_seconds:
                break
    except StopIteration:
        if not seconds:
            raise UserError(f'the data ended within the warm-up of {warmup} steps: take a smaller '
                            'warm-up') from None
    return Timing(seconds, items, _peak_memory(device))


def machine(device: str | torch.device) -> dict[str, str | int]:
    """What a measurement ran on: processor, threads, GPU, versions."""
    device = torch.device(device)
    facts: dict[str, str | int] = dict(
        device=str(device), cpu=_cpu_name(), threads=torch.get_num_threads(),
        system=f'{platform.system()} {platform.machine()}', python=platform.python_version(),
        torch=torch.__version__)
    if device.type == 'cuda':
        facts.update(gpu=torch.cuda.get_device_name(device), cuda=torch.version.cuda or '',
                     cudnn=torch.backends.cudnn.version() or 0)
    return facts


def _cpu_name() -> str:
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def endless(batches: Any) -> Iterator[Any]:
    """The batches of a loader, from the start again when they end; empty loaders stay empty."""
    found = True
    while found:
        found = False
        for batch in batches:
            found = True
            yield batch

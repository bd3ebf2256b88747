"""Trainings of toy configs over seeds: run what is not done, read figures, say mean and spread."""
from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(config: str, seed: int, work: Path, options: Sequence[str] = ()) -> Path:
    """Train, go on where an interrupted training was, or do nothing if it is done.

    Args:
        config: Relative to the repository.
        seed: Of the training.
        work: Its directory.
        options: For ``--cfg-options``.

    Returns:
        ``work``.

    Raises:
        subprocess.CalledProcessError: If the training fails.
    """
    if not (work / 'done').exists():
        command = [sys.executable, 'tools/train.py', config, '--work-dir', str(work), '--seed', str(seed),
                   '--no-leaderboard']
        if (work / 'last_checkpoint').exists():
            command.append('--resume')
        if options:
            command += ['--cfg-options', *options]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, 'OMP_NUM_THREADS': '1'})
        (work / 'done').touch()
    return work


def last_validation(work: Path, key: str) -> dict[str, float]:
    """The newest row of ``work`` that has a figure whose name ends in ``key``."""
    rows = [json.loads(line) for file in sorted(work.glob('*/vis_data/scalars.json'))
            for line in file.read_text().splitlines()]
    return [row for row in rows if any(name.endswith(key) for name in row)][-1]


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    if len(values) == 1:
        return f'{values[0]:.1f}'
    return f'{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}'

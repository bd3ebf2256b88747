"""Training curves from the ``vis_data/scalars.json`` that mmengine's local backend writes."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .record import Record

#: More points than a plot has pixels are no use.
POINTS = 200
_LEFT_OUT = {'step', 'iter', 'epoch', 'time', 'data_time', 'memory'}


def training_folder(record: Record) -> Path | None:
    """Where the training that made the record's weights kept its logs, if that is still there."""
    if record.checkpoint and '://' not in record.checkpoint:
        place = Path(record.checkpoint).parent
    elif record.phase == 'val' and record.work_dir:
        place = Path(record.work_dir)
    else:
        return None
    return place if any(place.glob('*/vis_data/scalars.json')) else None


def read_curves(folder: Path) -> dict[str, list[list[float]]]:
    """Curves by name, each a list of [iteration, value], of all the parts of a resumed training.

    Lines that are not whole (of a process that was killed) are left out. Where two parts overlap the
    later one counts.
    """
    curves: dict[str, dict[float, float]] = {}
    for file in sorted(folder.glob('*/vis_data/scalars.json')):
        step = 0.
        for line in file.read_text(encoding='utf-8', errors='replace').splitlines():
            try:
                row: Any = json.loads(line)
            except ValueError:
                continue
            if not isinstance(row, dict):
                continue
            # a validation's row counts epochs; it belongs to the last step of training
            training = 'iter' in row or 'loss' in row
            if training:
                step = row.get('iter') or row.get('step') or step
            for name, value in row.items():
                if name not in _LEFT_OUT and isinstance(value, int | float) and value == value:
                    curves.setdefault(name, {})[step] = value
    if curves.get('lr') == curves.get('base_lr'):
        curves.pop('base_lr', None)
    return {name: _thinned(sorted(points.items())) for name, points in curves.items() if len(points) > 1}


def _thinned(points: list[tuple[float, float]]) -> list[list[float]]:
    stride = -(-len(points) // POINTS)
    kept = points[::stride]
    if kept[-1] != points[-1]:
        kept.append(points[-1])
    return [[step, float(f'{value:.5g}')] for step, value in kept]

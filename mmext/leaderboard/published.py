"""The published numbers of ``configs/*/metafile.yml``, and how near a reproduction must come."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

import mmext

from .. import zoo
from ..catalogue import CATALOGUE
from .figures import figures

#: Percentage points within which a figure counts as reproduced, by data set: about the spread of the
#: same training with other seeds, as the hosts' model zoos and papers report it.
TOLERANCE = {'ImageNet-1k': 0.2, 'COCO': 0.3, 'ADE20K': 0.5, 'DOTAv1.0': 0.5, 'DOTAv1.5': 0.5}
OTHER_TOLERANCE = 0.5


@dataclass(frozen=True)
class Published:
    """One model's numbers of one task and data set.

    Attributes:
        model: Its name in the metafile.
        method: The folder under ``configs/``; ``title`` is how the catalogue calls it.
        config, page: Paths from the root of the repository.
        parameters, flops: None if not stated.
        metrics: Percent, the main one first.
        source: One of :data:`mmext.zoo.SOURCES`.
    """

    model: str
    method: str
    title: str
    config: str
    page: str
    parameters: int | None
    flops: int | None
    input_size: str
    task: str
    dataset: str
    metrics: Mapping[str, float]
    source: str


def root() -> Path:
    """The folder that ``configs/`` is in: the checkout, or the installed copy."""
    return (Path(mmext.__file__).parent / '.mim' / 'configs').resolve().parent


@lru_cache(maxsize=4)
def published(base: Path | None = None) -> tuple[Published, ...]:
    """Every published number of the repository.

    Args:
        base: The folder with ``configs/``; by default :func:`root`.

    Raises:
        UserError: If a metafile is not as it should be.
    """
    titles: dict[str, str] = {}
    for entry in CATALOGUE:
        titles.setdefault(entry.method, entry.name)
    rows: dict[tuple[str, str, str], Published] = {}
    for path in zoo.metafiles(base or root()):
        method = path.parent.name
        for model in zoo.read_metafile(path):
            for result in model.results:
                if result.source == zoo.RERUN:
                    continue
                # a later result corrects an earlier one, as in the model zoo
                rows[model.name, result.task, result.dataset] = Published(
                    model.name, method, titles.get(method, method), model.config,
                    f'configs/{method}/README.md', model.parameters or None, model.flops or None,
                    model.input_size, result.task, result.dataset, result.metrics, result.source)
    return tuple(rows.values())


def of_config(config: str, rows: Sequence[Published] | None = None) -> list[Published]:
    """The published numbers of a config; of several models that share it, the one of its name."""
    parts = PurePath(config).parts
    mine = [row for row in (published() if rows is None else rows)
            if parts[-len(PurePath(row.config).parts):] == PurePath(row.config).parts]
    stem = PurePath(config).stem
    return [row for row in mine if row.model == stem] or \
        [row for row in mine if row.model == mine[0].model]


def tolerance(dataset: str) -> float:
    """Percentage points; see :data:`TOLERANCE`."""
    return TOLERANCE.get(dataset, OTHER_TOLERANCE)


def beside(config: str, dataset: str, metrics: Mapping[str, float | None],
           rows: Sequence[Published] | None = None) -> tuple[dict[str, Any], ...]:
    """For each figure of ``metrics`` that was published for this config, what was published."""
    mine = set(figures(metrics))
    return tuple(
        dict(task=row.task, metric=metric, value=value, tolerance=tolerance(dataset), source=row.source,
             model=row.model)
        for row in of_config(config, rows) if row.dataset == dataset
        for metric, value in row.metrics.items() if (row.task, metric) in mine)

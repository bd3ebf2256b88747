"""Records and published numbers as ranked rows, one table for each task and data set."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from .figures import METRICS, figures
from .published import Published
from .record import Record


@dataclass(frozen=True)
class Row:
    """A published model, a reproduction, or both beside each other.

    Attributes:
        name: Of the model or of the run.
        method: The plug-in, as the catalogue calls it; empty for a run of a config of one's own.
        published: Percent by metric; empty if nothing was published for this config and data.
        own: The same of the record.
        tolerance: Percentage points; None without published numbers beside own ones.
        record: The reproduction's record.
    """

    name: str
    method: str
    config: str
    page: str
    parameters: int | None
    flops: int | None
    input_size: str
    published: Mapping[str, float]
    own: Mapping[str, float]
    source: str = ''
    tolerance: float | None = None
    record: Record | None = None

    def value(self, metric: str) -> float | None:
        """What was reproduced, else what was published."""
        return self.own.get(metric, self.published.get(metric))


@dataclass(frozen=True)
class Group:
    """One table: ``rows`` ranked by the first of ``metrics``."""

    task: str
    dataset: str
    metrics: Sequence[str]
    rows: Sequence[Row]

    @property
    def title(self) -> str:
        """'TASK, DATASET'."""
        return f'{self.task}, {self.dataset}'


def select(records: Iterable[Record]) -> list[Record]:
    """The records worth a row each: every different test, and of runs without one the best validation."""
    tests: dict[tuple, Record] = {}
    validations: dict[tuple[str, str], Record] = {}
    for record in records:
        where = record.run, record.dataset
        if record.phase == 'test':
            # the same weights and config tested again: the newest stands for all
            tests[record.run, record.dataset, record.config_digest,
                  record.checkpoint_digest or record.uid] = record
        else:
            best = validations.get(where)
            validations[where] = record if best is None or _main(record) >= _main(best) else best
    tested = {(record.run, record.config_digest) for record in tests.values()}
    tested_runs = {run for run, _ in tested}
    kept = [*tests.values(), *(one for one in validations.values() if one.run not in tested_runs)]
    return sorted(kept, key=lambda one: one.id or 0)


def _main(record: Record) -> float:
    return next(iter(figures(record.metrics).values()), float('-inf'))


def tables(records: Iterable[Record], published: Sequence[Published]) -> list[Group]:
    """The tables; those with reproductions first, then in the order of the tasks.

    Args:
        records: Of the store, as :func:`select` leaves them, or all.
        published: Of the metafiles.
    """
    found: dict[tuple[str, str], list[Row]] = {}
    reproduced: set[tuple[str, str, str]] = set()
    for record in records:
        by_task: dict[str, dict[str, float]] = {}
        for (task, metric), value in figures(record.metrics).items():
            by_task.setdefault(task, {})[metric] = value
        for task, own in by_task.items():
            row = _own_row(record, task, own, published)
            found.setdefault((task, record.dataset), []).append(row)
            reproduced.update((one['model'], task, record.dataset) for one in record.published)
    owned = set(found)
    for one in published:
        if (one.model, one.task, one.dataset) not in reproduced:
            found.setdefault((one.task, one.dataset), []).append(Row(
                one.model, one.title, one.config, one.page, one.parameters, one.flops, one.input_size,
                one.metrics, {}, one.source))
    tasks = list(METRICS)
    groups = [_group(task, dataset, rows) for (task, dataset), rows in found.items()]
    return sorted(groups, key=lambda one: ((one.task, one.dataset) not in owned,
                                           tasks.index(one.task) if one.task in tasks else len(tasks),
                                           one.dataset))


def _own_row(record: Record, task: str, own: Mapping[str, float], published: Sequence[Published]) -> Row:
    beside = [one for one in record.published if one['task'] == task]
    parts = PurePath(record.config).parts
    method = parts[parts.index('configs') + 1] if 'configs' in parts[:-2] else ''
    known = next((one for one in published if one.method == method), None)
    return Row(record.run, known.title if known else method, record.config,
               f'configs/{method}/README.md' if known else '', record.parameters, record.flops,
               record.input_size, {one['metric']: one['value'] for one in beside}, own,
               beside[0]['source'] if beside else '', beside[0]['tolerance'] if beside else None, record)


def _group(task: str, dataset: str, rows: Sequence[Row]) -> Group:
    there = dict.fromkeys(metric for row in rows for metric in (*row.published, *row.own))
    order = METRICS.get(task, ())
    metrics = [one for one in order if one in there] + [one for one in there if one not in order]
    main = metrics[0] if metrics else ''
    ranked = sorted(rows, key=lambda row: -(row.value(main) if row.value(main) is not None
                                            else float('-inf')))  # type: ignore[operator]
    return Group(task, dataset, metrics, ranked)

"""The whole leaderboard as one HTML file that needs nothing else: no server, no network."""
from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from .. import __version__
from .calibration import calibration_diagrams
from .curves import read_curves, training_folder
from .published import root
from .record import Record, now
from .rendering import differences, link, render
from .table import Group, Row

#: Pictures of at most this many of the newest records, so that the file stays easy to send.
WITH_PICTURES = 8
_METRICS_SHOWN = 2


def page_text(path: Path, groups: Sequence[Group], records: Sequence[Record]) -> str:
    """The page.

    Args:
        path: Where it will be. Links to configs, pages and logs are relative to it.
        groups: Of :func:`mmext.leaderboard.table.tables`.
        records: Those whose details are shown, the newest last.
    """
    methods = sorted({row.method for group in groups for row in group.rows if row.method})
    tables = [_table(group, index, path) for index, group in enumerate(groups)]
    runs = [_run(record, path, index < WITH_PICTURES) for index, record in enumerate(reversed(records))]
    return render(
        'page.html.j2', tables=tables, runs=runs, methods=methods, version=__version__,
        made=now().replace('T', ' ').replace('Z', ' UTC'),
        published=sum(not row['ours'] for table in tables for row in table['rows']),
        data=dict(charts=[table['chart'] for table in tables],
                  curves={str(run['id']): run['curves'] for run in runs if run['curves']}))


def _place(config: str, page: Path) -> str:
    """The address of a config or page of the repository, or of a config of one's own."""
    parts = PurePath(config).parts
    if 'configs' in parts:
        found = link(root().joinpath(*parts[parts.index('configs'):]), page)
        if found:
            return found
    return link(config, page)


def _table(group: Group, index: int, page: Path) -> dict[str, Any]:
    main = group.metrics[0]
    more = list(group.metrics[1:1 + _METRICS_SHOWN])
    rows = [_row(row, f'row-{index}-{number}', main, more, page) for number, row in enumerate(group.rows)]
    axes = [dict(key=key, label=label) for key, label in
            (('parameters', 'parameters'), ('flops', 'multiply-adds'), ('latency', 'ms for an image'))
            if any(row['axes'][key] for row in rows)]
    shown = ('id', 'name', 'method', 'ours', 'value', 'axes')
    return dict(
        index=index, task=group.task, dataset=group.dataset, main=main, more=more, rows=rows,
        anchor=f'table-{index}', beside=any(row['ours'] and row['published'] is not None for row in rows),
        timed=any(row['axes']['latency'] for row in rows),
        own=sum(row['ours'] for row in rows),
        chart=dict(metric=main, axes=axes, points=[{key: row[key] for key in shown} for row in rows]))


def _row(row: Row, anchor: str, main: str, more: Sequence[str], page: Path) -> dict[str, Any]:
    record = row.record
    published = row.published.get(main)
    beside = dict(difference=None, verdict='')
    if record and published is not None and row.tolerance is not None:
        beside = differences(dict(value=published, tolerance=row.tolerance), row.own.get(main))
    return dict(
        id=anchor, name=row.name, number=record.id if record else None, method=row.method, ours=bool(record),
        config=PurePath(row.config).stem, config_link=_place(row.config, page) if row.config else '',
        page_link=_place(row.page, page) if row.page else '', parameters=row.parameters, flops=row.flops,
        input=row.input_size, published=published, own=row.own.get(main), value=row.value(main),
        more=[row.value(metric) for metric in more], source=row.source, tolerance=row.tolerance,
        phase=record.phase if record else '', latency=record.latency_ms if record else None,
        date=record.date[:10] if record else '', digest=record.checkpoint_digest[:10] if record else '',
        axes=dict(parameters=row.parameters, flops=row.flops, latency=record.latency_ms if record else None),
        **beside)


def _run(record: Record, page: Path, pictures: bool) -> dict[str, Any]:
    folder = training_folder(record)
    try:
        curves = read_curves(folder) if folder else {}
    except OSError:
        curves = {}
    shown = record.pictures if pictures else ()
    report = Path(record.work_dir) / 'report.html' if record.work_dir else Path('missing')
    return dict(
        id=record.id, record=record, curves=curves, config_link=_place(record.config, page),
        checkpoint_link=link(record.checkpoint, page) if '://' not in record.checkpoint else '',
        report_link=link(report, page), worst=[one for one in shown if not one.best],
        best=[one for one in shown if one.best],
        diagrams=calibration_diagrams(record) if pictures else [],
        submissions=[dict(one=one, text=one.answer.decode('utf-8', 'replace'))
                     for one in record.submissions])


def config_difference(one: Record, other: Record, lines: int = 60) -> list[str]:
    """What is not the same in two records' configs, as a unified diff without context."""
    found = list(difflib.unified_diff(one.config_text.splitlines(), other.config_text.splitlines(),
                                      one.key, other.key, n=0, lineterm=''))
    kept = [line for line in found if not line.startswith('@@')]
    return kept[:lines] + ([f'... {len(kept) - lines} more lines'] if len(kept) > lines else [])

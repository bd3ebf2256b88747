"""The tables as Markdown, CSV and for a terminal."""
from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .figures import figures
from .record import Record
from .rendering import differences, number, short_count
from .table import Group, Row

if TYPE_CHECKING:
    from rich.console import Console

_HEAD = ('model', 'method', 'parameters', 'FLOPs', 'ms', 'published', 'reproduced', 'difference', 'source')
_CSV = ('task', 'dataset', 'model', 'method', 'config', 'parameters', 'flops', 'input_size', 'latency_ms',
        'memory_mb', 'metric', 'published', 'reproduced', 'difference', 'tolerance', 'source', 'record',
        'date', 'config_sha256', 'checkpoint_sha256')


def _difference(row: Row, metric: str) -> dict[str, Any]:
    value, tolerance = row.published.get(metric), row.tolerance
    if row.record is None or value is None or tolerance is None:
        return dict(difference=None, verdict='')
    return differences(dict(value=value, tolerance=tolerance), row.own.get(metric))


def cells(row: Row, metric: str) -> list[str]:
    """A row's texts in the order of the head."""
    published, own = row.published.get(metric), row.own.get(metric)
    beside = _difference(row, metric)
    text = '–'
    if beside['difference'] is not None:
        text = f"{beside['difference']:+.2f} ({beside['verdict']} ±{row.tolerance:g})"
    return [row.record.key if row.record else row.name, row.method or '–', short_count(row.parameters),
            short_count(row.flops), number(row.record.latency_ms if row.record else None, 1),
            '–' if published is None else str(float(published)), number(own), text,
            row.source if row.record is None else
            'ours' if row.record.phase == 'test' else 'ours, validation']


def markdown(groups: Sequence[Group]) -> str:
    """One Markdown table for each group."""
    blocks = ['# Leaderboard\n\nFigures in percent; FLOPs are multiply-adds; ms is the median time for one '
              'image on the machine of the test.']
    for group in groups:
        lines = [_line(_HEAD), _line('---' if name in ('model', 'method', 'source') else '--:'
                                     for name in _HEAD)]
        lines += [_line(cells(row, group.metrics[0])) for row in group.rows]
        blocks.append('\n'.join([f'## {group.title}: {group.metrics[0]}', '', *lines]))
    return '\n\n'.join(blocks) + '\n'


def _line(texts: Any) -> str:
    return f"| {' | '.join(one.replace('|', chr(92) + '|') for one in texts)} |"


def comma_separated(groups: Sequence[Group]) -> str:
    """Everything as CSV: one line for each figure of each row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(_CSV)
    for group in groups:
        for row in group.rows:
            one = row.record
            for metric in group.metrics:
                if row.value(metric) is None:
                    continue
                writer.writerow([
                    group.task, group.dataset, row.name, row.method, row.config, row.parameters, row.flops,
                    row.input_size, one and one.latency_ms, one and one.memory_mb, metric,
                    row.published.get(metric), row.own.get(metric), _difference(row, metric)['difference'],
                    row.tolerance, row.source, one and one.key, one and one.date,
                    one and one.config_digest, one and one.checkpoint_digest])
    return out.getvalue()


# --------------------------------------------------------------------------------------- terminal

_STYLES = dict(within='green', above='yellow', below='red')


def print_tables(console: Console, groups: Sequence[Group], limit: int | None) -> None:
    """Print the tables.

    Args:
        console: Where to.
        groups: The tables.
        limit: Published rows of each table; own ones are always there. None prints all.
    """
    from rich import box
    from rich.table import Table
    for group in groups:
        kept, left_out = _limited(group.rows, limit)
        metric = group.metrics[0]
        timed = any(row.record for row in kept)
        beside = any(_difference(row, metric)['difference'] is not None for row in kept)
        head = [name for name in _HEAD if (timed or name not in ('ms', 'reproduced'))
                and (beside or name != 'difference')]
        table = Table(box=box.SIMPLE_HEAD, title=f'{group.title}: {metric} in percent',
                      title_justify='left', title_style='bold')
        for name in head:
            text = name in ('model', 'method', 'source')
            table.add_column(name, justify='left' if text else 'right',
                             overflow='fold' if name == 'model' else 'ellipsis')
        for row in kept:
            texts = dict(zip(_HEAD, cells(row, metric)))
            verdict = _difference(row, metric)['verdict']
            if verdict:
                texts['difference'] = f"[{_STYLES[verdict]}]{texts['difference']}[/]"
            table.add_row(*(texts[name] for name in head), style='bold' if row.record else None)
        console.print(table)
        if left_out:
            console.print(f'  and {left_out} more published; --all shows them\n')


def _limited(rows: Sequence[Row], limit: int | None) -> tuple[list[Row], int]:
    if limit is None:
        return list(rows), 0
    kept, published = [], 0
    for row in rows:
        published += row.record is None
        if row.record is not None or published <= limit:
            kept.append(row)
    return kept, len(rows) - len(kept)


def print_comparison(console: Console, one: Record, other: Record, difference: Sequence[str]) -> None:
    """Print two records beside each other.

    Args:
        console: Where to.
        one, other: The records.
        difference: Of their configs.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column('')
    for name in (one.key, other.key, 'difference'):
        table.add_column(name, justify='right', overflow='fold')
    values = figures(one.metrics), figures(other.metrics)
    for key in dict.fromkeys([*values[0], *values[1]]):
        a, b = values[0].get(key), values[1].get(key)
        table.add_row(key.metric, number(a), number(b),
                      f'{b - a:+.2f}' if a is not None and b is not None else '–')
    table.add_section()
    for label, name, show in (('parameters', 'parameters', short_count), ('FLOPs', 'flops', short_count),
                              ('ms for an image', 'latency_ms', lambda v: number(v, 1)),
                              ('memory, MiB', 'memory_mb', lambda v: number(v, 0))):
        a, b = getattr(one, name), getattr(other, name)
        table.add_row(label, show(a), show(b), f'{100 * (b - a) / a:+.1f} %' if a and b else '–')
    table.add_section()
    for label, first, second in (
            ('data', one.dataset, other.dataset), ('date', one.date[:10], other.date[:10]),
            ('config', one.config_digest[:12], other.config_digest[:12]),
            ('checkpoint', one.checkpoint_digest[:12] or '–', other.checkpoint_digest[:12] or '–'),
            ('device', str(one.environment.get('device', '–')), str(other.environment.get('device', '–')))):
        table.add_row(label, first, second, 'same' if first == second else 'differs')
    console.print(table)
    if one.dataset != other.dataset:
        console.print(f'Not the same data: {one.dataset} and {other.dataset}.', style='yellow')
    console.print('The configs are the same.' if not difference else 'What differs in the configs:')
    for line in difference:
        console.print(Text(line, style='green' if line.startswith('+') else 'red'))

"""The findings as a table, worst first."""
from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from .finding import DatasetReport

_COLOURS = {'error': 'bold red', 'warning': 'yellow'}
_NARROWEST = 100


def show(reports: Sequence[DatasetReport]) -> None:
    """Print a line per dataset and one table of all findings on the standard output."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    console = Console(file=sys.stdout, highlight=False,
                      width=max(_NARROWEST, shutil.get_terminal_size().columns))
    for report in reports:
        console.print(escape(report.headline()) + (' (unchanged)' if report.cached else ''),
                      soft_wrap=True)
    rows = [(finding, report) for report in reports for finding in report.findings]
    if not rows:
        return
    rows.sort(key=lambda row: (row[0].severity != 'error', -row[0].count))
    table = Table('', 'count', 'where', 'what', 'for example', show_lines=True)
    for finding, report in rows:
        style = _COLOURS[finding.severity]
        what = finding.message + (f'\n-> {finding.suggestion}' if finding.suggestion else '')
        table.add_row(f'[{style}]{finding.severity}[/]', f'{finding.count:,}',
                      escape(report.path.replace('_dataloader.dataset', '')), escape(what),
                      escape('\n'.join(example.text for example in finding.examples[:3])))
    console.print(table)

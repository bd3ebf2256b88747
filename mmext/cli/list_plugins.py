"""List the plug-ins: what they are, which hosts take them, where they come from."""
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table

from ..catalogue import CATALOGUE, Entry
from ..errors import UserError, did_you_mean
from ._common import run_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``mmext list``."""
    parser.add_argument('name', nargs='?', help='show only names that contain this text')
    parser.add_argument('--kind', help='show one kind only (backbone, neck, hook, ...)')
    parser.add_argument('--host', help='show only what this host takes (mmdet, mmseg, ...)')
    parser.add_argument('--json', action='store_true', help='print the rows as JSON')


def select(name: str | None, kind: str | None, host: str | None) -> list[Entry]:
    """The rows of the catalogue that match; a UserError if a filter names nothing there is."""
    for what, value, known in (('kind', kind, {entry.kind for entry in CATALOGUE}),
                               ('host', host, {h for entry in CATALOGUE for h in entry.hosts})):
        if value is not None and value not in known:
            raise UserError(f"no {what} '{value}' in the catalogue{did_you_mean(value, known)} "
                            f'It has: {", ".join(sorted(known))}')
    return [
        entry for entry in CATALOGUE
        if (name is None or any(name.lower() in n.lower() for n in entry.names))
        and kind in (None, entry.kind) and (host is None or host in entry.hosts)
    ]


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    entries = select(args.name, args.kind, args.host)
    if args.name and not entries:
        names = [name for entry in CATALOGUE for name in entry.names]
        raise UserError(f"no plug-in called '{args.name}'{did_you_mean(args.name, names)}")
    if args.json:
        print(json.dumps([{**asdict(entry), 'paper': entry.paper._asdict() if entry.paper else None}
                          for entry in entries], indent=2))
        return 0
    table = Table(box=box.SIMPLE_HEAD)
    for column in ('type=', 'kind', 'hosts', 'what', 'paper', 'page'):
        table.add_column(column, overflow='fold', no_wrap=column == 'type=')
    for entry in entries:
        paper = f'{entry.paper.title} ({entry.paper.year})' if entry.paper else ''
        table.add_row(f'mmext.{entry.name}', entry.kind, ' '.join(entry.hosts), entry.summary,
                      paper, entry.page)
    # A pipe has no width to respect.
    Console(width=None if sys.stdout.isatty() else 240).print(table)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """``mmext list``."""
    return run_command(__name__, argv)

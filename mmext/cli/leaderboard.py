"""Show, compare and export evaluations beside the published numbers; write submissions."""
from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError, did_you_mean
from ..leaderboard.published import published
from ..leaderboard.record import Record, Submission, file_digest, now
from ..leaderboard.store import DEFAULT, VARIABLE, Store, find
from ..leaderboard.table import Group, select, tables
from ._checkout import write_all
from ._common import run_command

if TYPE_CHECKING:
    from rich.console import Console

ACTIONS = ('show', 'compare', 'export', 'import', 'submit')
_SUFFIXES = ('.md', '.csv', '.html', '.json')
_ROWS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    show = actions.add_parser('show', help='print the tables (also without an ACTION)')
    compare = actions.add_parser('compare', help='two runs beside each other')
    export = actions.add_parser('export', help='write Markdown, CSV, an HTML page, or JSON')
    bring = actions.add_parser('import', help='take records from JSON or from another leaderboard')
    submit = actions.add_parser('submit', help="write an evaluation server's archive; keep its answer")
    for one in (show, compare, export, bring, submit):
        one.add_argument('--store', type=Path, metavar='FILE',
                         help=f'the leaderboard (default: {VARIABLE}, else {DEFAULT})')
    for one in (show, export):
        one.add_argument('--dataset', help='only this data set: COCO, ADE20K, ...')
        one.add_argument('--method', help='only this plug-in: EMOv2, BiFormer, ...')
        one.add_argument('--ours', action='store_true', help='leave out what was only published')
        one.add_argument('--all', action='store_true',
                         help='every evaluation and published row, not only the newest and the best')
    names = "a run's name (its newest test) or RUN#NUMBER"
    compare.add_argument('one', help=names)
    compare.add_argument('other', help=names)
    export.add_argument('file', type=Path, help=f'its end says the format: {" ".join(_SUFFIXES)}')
    bring.add_argument('file', type=Path, help='exported JSON, or the .sqlite file of another leaderboard')
    submit.add_argument('run', help=names)
    submit.add_argument('--server', required=True, choices=['coco-test-dev', 'dota-task1', 'ade20k'])
    submit.add_argument('--results', type=Path, help="what the run's metric wrote for the server")
    submit.add_argument('--images', type=Path,
                        help="the server's test set: COCO's annotation file, else the folder of images")
    submit.add_argument('--out', type=Path, default=Path('submissions'), metavar='FOLDER',
                        help='where the archive goes (default: submissions)')
    submit.add_argument('--answer', type=Path, metavar='FILE',
                        help="keep the server's answer, as it came, beside the record")


def _groups(store: Store, args: argparse.Namespace) -> tuple[list[Group], list[Record]]:
    records = store.records()
    kept = records if args.all else select(records)
    rows = [] if args.ours else list(published())
    groups = tables(kept, rows)
    for option, value, known in (
            ('--dataset', args.dataset, {group.dataset for group in groups}),
            ('--method', args.method, {row.method for group in groups for row in group.rows if row.method})):
        if value is not None and value.lower() not in {one.lower() for one in known}:
            raise UserError(f"{option}: nothing of '{value}'{did_you_mean(value, known)}\n"
                            f'There is: {", ".join(sorted(known)) or "nothing yet"}')
    found = []
    for group in groups:
        if args.dataset and group.dataset.lower() != args.dataset.lower():
            continue
        rows_kept = [row for row in group.rows
                     if not args.method or row.method.lower() == args.method.lower()]
        if rows_kept:
            found.append(Group(group.task, group.dataset, group.metrics, rows_kept))
    return found, kept


def _console() -> Console:
    from rich.console import Console
    # a file or pipe has no width; 80 columns would cut the tables
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=150)


def _show(store: Store, args: argparse.Namespace) -> int:
    from ..leaderboard.text import print_tables
    groups, kept = _groups(store, args)
    console = _console()
    print_tables(console, groups, None if args.all else _ROWS)
    if kept:
        console.print(f'{len(kept)} evaluations from {store.path}', style='dim', soft_wrap=True)
    else:
        console.print(f'No evaluations in {store.path} yet; mmext test CONFIG CHECKPOINT adds one.',
                      soft_wrap=True)
    return 0


def _compare(store: Store, args: argparse.Namespace) -> int:
    from ..leaderboard.page import config_difference
    from ..leaderboard.text import print_comparison
    kept = store.records()
    first, second = (find(kept, name, str(store.path)) for name in (args.one, args.other))
    console = _console()
    for name, record in ((args.one, first), (args.other, second)):
        same = [one for one in kept if one.run == name]
        if len(same) > 1:
            console.print(f"{len(same)} evaluations are called '{name}'; taking {record.key}, the newest"
                          f" {record.phase}", style='dim', soft_wrap=True)
    print_comparison(console, first, second, config_difference(first, second))
    return 0


def _export(store: Store, args: argparse.Namespace) -> int:
    from ..leaderboard.page import page_text
    from ..leaderboard.text import comma_separated, markdown
    from ..leaderboard.transfer import to_json
    path, suffix = args.file, args.file.suffix.lower()
    if suffix not in _SUFFIXES:
        raise UserError(f"export: '{path}' must end in {', '.join(_SUFFIXES)}")
    if path.is_dir() or path.resolve() == store.path.resolve():
        raise UserError(f"export: '{path}' is {'a folder' if path.is_dir() else 'the leaderboard itself'}")
    groups, kept = _groups(store, args)
    if suffix == '.html':
        shown = {row.record.uid for group in groups for row in group.rows if row.record}
        text = page_text(path, groups, [one for one in kept if one.uid in shown])
    else:
        text = to_json(store.records()) if suffix == '.json' else \
            markdown(groups) if suffix == '.md' else comma_separated(groups)
    write_all({path: text})
    print(f'leaderboard: {path}')
    return 0


def _import(store: Store, args: argparse.Namespace) -> int:
    from ..leaderboard.transfer import read_records
    if args.file.exists() and store.path.exists() and args.file.samefile(store.path):
        raise UserError(f"import: '{args.file}' is this leaderboard itself")
    new, known = store.add_all(read_records(args.file))
    print(f'leaderboard: {len(new)} records added to {store.path}'
          + (f', {len(known)} were there already and stay as they are' if known else ''))
    return 0


def _submit(store: Store, args: argparse.Namespace) -> int:
    from ..leaderboard.submit import write_submission
    if args.results is None and args.answer is None:
        raise UserError("submit: needs --results, to write the archive, --answer, to keep the server's "
                        'answer, or both')
    if args.answer is not None and not args.answer.is_file():
        raise UserError(f"--answer: there is no file '{args.answer}'")
    record = store.find(args.run)
    store.check(writable=True)
    archive, digest = '', ''
    if args.results is not None:
        path, lines = write_submission(args.server, args.results, args.images, args.out, record.run)
        archive, digest = str(path), file_digest(path)
        print('\n'.join([*lines, f'submission: {path}']))
    answer = args.answer.read_bytes() if args.answer else b''
    store.add_submission(record, Submission(args.server, now(), archive, digest,
                                            args.answer.name if args.answer else '', answer))
    print(f'leaderboard: kept beside {record.key}')
    return 0


_RUN: Mapping[str, Callable[[Store, argparse.Namespace], int]] = {
    'show': _show, 'compare': _compare, 'export': _export, 'import': _import, 'submit': _submit}


def run(args: argparse.Namespace) -> int:
    """Do what was asked; returns 0."""
    return _RUN[args.action](Store(args.store), args)


def main(argv: Sequence[str] | None = None) -> int:
    """``mmext leaderboard``; without an action it shows the tables."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0].startswith('-') and words[0] not in ('-h', '--help')):
        words.insert(0, 'show')
    return run_command(__name__, words)

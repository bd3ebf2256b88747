"""Write the tables that are made from the catalogue and the metafiles."""
from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .. import zoo
from ..errors import UserError
from ._checkout import find_checkout, write_all
from ._common import run_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('--check', action='store_true',
                        help='write nothing; exit with 1 if something is out of date')
    parser.add_argument('--root', type=Path, help='the checkout (default: the one of the current folder)')


def run(args: argparse.Namespace) -> int:
    """Write, or with ``--check`` name, what is out of date."""
    root = find_checkout(args.root)
    stale, problems = zoo.outdated(root)
    if not args.check:
        write_all(stale)
    for path in stale:
        print(f'{"out of date" if args.check else "wrote"}: {path.relative_to(root)}')
    if problems:
        raise UserError('\n'.join(problems))
    if not stale:
        print('everything is up to date')
    return int(args.check and bool(stale))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see :func:`mmext.cli._common.run_command`."""
    return run_command(__name__, argv)

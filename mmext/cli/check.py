"""Check a config without running it: types, arguments, files, classes, schedule."""
from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import hosts
from ..errors import UserError
from ._common import add_config_arguments, is_main_process, run_command
from .config import load_config

if TYPE_CHECKING:
    from mmengine.config import Config

    from ..engine.config_check import Problem


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_config_arguments(parser)
    parser.add_argument('--phase', choices=['train', 'val', 'test'], action='append',
                        help='check only what this phase builds (may be repeated; default: all)')
    parser.add_argument('--no-files', action='store_true',
                        help='do not ask for the data and weights to be on this machine')
    parser.add_argument('--json', action='store_true', help='print the problems as JSON')


def listing(problems: Sequence[Problem]) -> str:
    """The problems as lines of text, numbered, each suggestion below its problem's line."""
    return '\n'.join(f'{number:>3}. {problem.severity}: {problem}'
                     for number, problem in enumerate(problems, 1))


def check_before_run(cfg: Config, phases: Sequence[str]) -> None:
    """What train and test do before anything heavy: show warnings, refuse errors.

    Args:
        cfg: The config that is going to run.
        phases: What is going to run.

    Raises:
        UserError: If there is an error; the message lists all problems.
    """
    from ..datasets.toy import missing
    from ..engine.config_check import check_config, errors
    no_data = missing(cfg)
    if no_data:
        raise UserError(no_data)
    problems = check_config(cfg, phases)
    if errors(problems):
        count = len(errors(problems))
        raise UserError(f"{cfg.filename}: {count} error{'s' * (count > 1)} in the config\n"
                        f'{listing(problems)}\n'
                        'Nothing was run. --no-check runs it as it is.')
    if problems and is_main_process():
        print(f'{cfg.filename}:\n{listing(problems)}', flush=True)


def run(args: argparse.Namespace) -> int:
    """Print the problems; returns 2 if there is an error, else 0."""
    cfg = load_config(args.config, args.cfg_options)
    hosts.repair()
    from ..engine.config_check import PHASES, check_config, errors
    problems = check_config(cfg, args.phase or PHASES, files=not args.no_files)
    if args.json:
        print(json.dumps([problem.to_dict() for problem in problems], indent=2))
    elif problems:
        print(listing(problems))
        print(f'{len(errors(problems))} errors, {len(problems) - len(errors(problems))} warnings')
    else:
        print(f'{args.config}: nothing wrong found')
    return 2 if errors(problems) else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see :func:`mmext.cli._common.run_command`."""
    return run_command(__name__, argv)

"""Check a config without training, one batch included; with --data its annotations and images."""
from __future__ import annotations

import argparse
import contextlib
import copy
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import hosts
from ..errors import UserError
from ._common import add_config_arguments, is_main_process, run_command
from .config import default_work_dir, load_config
from .run_config import _set_loader_defaults
from .smoke import shrink

if TYPE_CHECKING:
    from mmengine.config import Config

    from ..datasets.doctor import DatasetReport
    from ..engine.config_check import Problem


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_config_arguments(parser)
    parser.add_argument('--phase', choices=['train', 'val', 'test'], action='append',
                        help='check only what this phase builds (may be repeated; default: all)')
    parser.add_argument('--no-files', action='store_true',
                        help='do not ask for the data and weights to be on this machine; no model is built')
    parser.add_argument('--no-batch', action='store_true',
                        help='do not put a batch through pipeline and model')
    parser.add_argument('--data', action='store_true',
                        help='examine the data too: annotations, labels, image headers')
    parser.add_argument('--full', action='store_true',
                        help='with --data: decode every label map, not a sample')
    parser.add_argument('--no-cache', action='store_true',
                        help='with --data: read everything again')
    parser.add_argument('--show-dir', metavar='DIR', help='with --data: where pictures of what is '
                        'wrong go (default: work_dirs/CONFIG_NAME/data_check)')
    parser.add_argument('--json', action='store_true', help='print the problems as JSON')


def listing(problems: Sequence[Problem]) -> str:
    """The problems as lines of text, numbered, each suggestion below its problem's line."""
    return '\n'.join(f'{number:>3}. {problem.severity}: {problem}'
                     for number, problem in enumerate(problems, 1))


def check_all_before_run(cfg: Config, phases: Sequence[str], args: argparse.Namespace) -> None:
    """Check config and data as ``--no-check``, ``--no-data-check`` and ``--smoke`` allow.

    Raises:
        UserError: If there is an error; the message lists all that was found.
    """
    if args.no_check:
        return
    check_before_run(cfg, phases)
    if not (args.no_data_check or args.smoke) and is_main_process():
        check_data_before_run(cfg, phases)


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


def check_data_before_run(cfg: Config, phases: Sequence[str] = ('train', 'val')) -> None:
    """Examine the data before a run: show warnings, refuse errors. Unchanged files are not read again.

    Args:
        cfg: The config that is going to run, already checked.
        phases: Whose datasets.

    Raises:
        UserError: If there is an error; the message lists all findings.
    """
    from ..datasets.doctor import examine_config
    reports = examine_config(cfg, phases)
    lines = [f'{number:>3}. {line}' for number, line in enumerate(
        sorted((line for report in reports for line in report.lines()),
               key=lambda line: not line.startswith('error')), 1)]
    count = sum(len(report.errors) for report in reports)
    if count:
        raise UserError('\n'.join([f"{cfg.filename}: {count} error{'s' * (count > 1)} in the data",
                                   *lines, 'Nothing was run. mmext check --data draws them, '
                                   '--no-data-check runs on them as they are.']))
    if lines:
        print('\n'.join([f'{cfg.filename}: the data', *lines]), flush=True)


def try_batch(cfg: Config, phases: Sequence[str]) -> list[Problem]:
    """Put one small batch of each phase through pipeline, model and metric; ``cfg`` stays as it is."""
    from ..engine.config_check.dry_batch import try_batches
    trial = copy.deepcopy(cfg)
    options = argparse.Namespace(no_pin_memory=True, no_persistent_workers=True)
    for phase in phases:
        _set_loader_defaults(trial, f'{phase}_dataloader', options)
    shrink(trial)
    return try_batches(trial, phases)


def _examine(args: argparse.Namespace, cfg: Config, phases: Sequence[str],
             problems: Sequence[Problem]) -> tuple[list[DatasetReport], list[str]]:
    """Reports and pictures; nothing for datasets whose settings are wrong already."""
    from ..datasets.doctor import examine_config
    from ..datasets.doctor.pictures import draw
    from ..engine.config_check import errors
    broken = {problem.path.partition('_dataloader')[0] for problem in errors(problems)
              if '_dataloader' in problem.path}
    reports = examine_config(cfg, [phase for phase in phases if phase not in broken], args.full,
                             not args.no_cache)
    folder = args.show_dir or str(Path(default_work_dir(cfg, None)) / 'data_check')
    try:
        return reports, draw(reports, folder)
    except OSError as error:
        raise UserError(f"--show-dir: cannot write to '{folder}': {error.strerror}") from None


def run(args: argparse.Namespace) -> int:
    """Print the problems; returns 2 if there is an error, else 0."""
    for option in ('full', 'no_cache', 'show_dir'):
        if getattr(args, option) and not args.data:
            raise UserError(f"--{option.replace('_', '-')} goes with --data")
    with contextlib.redirect_stdout(sys.stderr):  # what the hosts print is not part of the answer
        cfg = load_config(args.config, args.cfg_options)
        hosts.repair()
        from ..engine.config_check import PHASES, check_config, errors
        phases = tuple(args.phase or PHASES)
        problems = check_config(cfg, phases, files=not args.no_files)
        reports, pictures = _examine(args, cfg, phases, problems) if args.data else ([], [])
        bad_data = sum(len(report.errors) for report in reports)
        tried = not (args.no_batch or args.no_files or errors(problems) or bad_data)
        if tried:
            problems += try_batch(cfg, phases)
    if args.json:
        listed = [problem.to_dict() for problem in problems]
        data = [report.to_dict() for report in reports]
        print(json.dumps(dict(problems=listed, data=data, pictures=pictures) if args.data else listed,
                         indent=2))
    else:
        _print(args, problems, reports, pictures, tried)
    return 2 if errors(problems) or bad_data else 0


def _print(args: argparse.Namespace, problems: Sequence[Problem], reports: Sequence[DatasetReport],
           pictures: Sequence[str], tried: bool) -> None:
    from ..engine.config_check import errors
    if problems:
        print(listing(problems))
        print(f'{len(errors(problems))} errors, {len(problems) - len(errors(problems))} warnings')
        if not (tried or args.no_batch or args.no_files):
            print('No batch was tried: it would fail on these errors.')
    else:
        batch = ', one batch of each phase included' if tried else \
            ' (no model was built and no batch tried)'
        where = ' in the config' if args.data else ''
        print(f'{args.config}: nothing wrong found{where}{batch}')
    if args.data:
        from ..datasets.doctor.table import show
        show(reports)
        if pictures:
            print(f'{len(pictures)} pictures in {Path(pictures[0]).parent}')


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; see :func:`mmext.cli._common.run_command`."""
    return run_command(__name__, argv)

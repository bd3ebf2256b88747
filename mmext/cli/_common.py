"""What all command-line tools share: the parser, the error style and the config arguments."""
from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from ..errors import UserError, did_you_mean


class Parser(argparse.ArgumentParser):
    """An argument parser that answers a typing error with the nearest option or choice."""

    def error(self, message: str) -> NoReturn:
        """Raise :class:`UserError` instead of printing the usage and exiting."""
        unknown = re.match(r'unrecognized arguments: (.*)', message)
        choice = re.match(r"argument (\S+): invalid choice: '?([^']*?)'? \(choose from (.*)\)",
                          message)
        if unknown:
            word = unknown[1].split()[0]
            hint = did_you_mean(word.split('=')[0], self._option_string_actions)
            message = f"unknown argument '{word}'{hint}"
        elif choice:
            choices = re.findall(r"[^\s',]+", choice[3])
            message = (f"{choice[1]} cannot be '{choice[2]}'{did_you_mean(choice[2], choices)} "
                       f"(choose from {', '.join(choices)})")
        raise UserError(f'{self.prog}: {message}\nTry: {self.prog} --help')


def is_main_process() -> bool:
    """Whether this process does the printing (rank 0 of a launcher, or no launcher)."""
    return os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) == '0'


def show_error(message: str) -> None:
    """Print ``message`` on stderr, its first line in red on a terminal."""
    if not is_main_process():
        return
    head, _, tail = message.partition('\n')
    if sys.stderr.isatty() and 'NO_COLOR' not in os.environ:
        head = f'\033[1;31m{head}\033[0m'
    print(head, *([tail] if tail else []), sep='\n', file=sys.stderr, flush=True)


def guarded(action: Callable[[], int]) -> int:
    """Run ``action``; a :class:`UserError` becomes one message and exit code 2."""
    try:
        return action()
    except UserError as error:
        show_error(str(error))
        return 2
    except KeyboardInterrupt:
        show_error('stopped')
        return 130


def run_command(module_name: str, argv: Sequence[str] | None = None) -> int:
    """The ``main`` of a subcommand's module.

    Args:
        module_name: The module, already imported; it has ``add_arguments`` and ``run``, and its
            docstring's first line describes the command.
        argv: Arguments after the command's name; those of the process by default, when the
            command is started as a script.

    Returns:
        Exit code: what ``run`` returned, or 2 when the user's input is wrong.
    """
    from . import COMMANDS

    module = sys.modules[module_name]
    file = module_name.rpartition('.')[2]
    command = next((name for name, (known, _) in COMMANDS.items() if known == file), file)
    prog = f'mmext {command}' if argv is not None else os.path.basename(sys.argv[0])

    def action() -> int:
        parser = Parser(prog=prog, description=(module.__doc__ or '').strip().partition('\n')[0])
        module.add_arguments(parser)
        return module.run(parser.parse_args(argv))

    return guarded(action)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``config`` and ``--cfg-options``, which every tool that reads a config has."""
    parser.add_argument('config', help="config file, or one of a package: 'mmdet::atss/....py'")
    parser.add_argument(
        '--cfg-options', nargs='+', action='extend', metavar='KEY=VALUE',
        help='settings that override the config, for example optim_wrapper.optimizer.lr=0.01 '
             'param_scheduler.0.end=100 key="[a,b]" (no white space in a value)')


def add_launcher_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher`` and ``--local_rank``."""
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
                        help='job launcher (tools/dist_*.sh and slurm_*.sh set it)')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0,
                        help=argparse.SUPPRESS)


def set_local_rank(args: argparse.Namespace) -> None:
    """Export ``LOCAL_RANK``, which mmengine reads, when the launcher passed it as an option."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))

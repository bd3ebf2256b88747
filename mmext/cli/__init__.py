"""The ``mmext`` command: one entry point for everything in ``tools/``.

Each subcommand lives in ``mmext/cli/NAME.py`` as ``add_arguments(parser)``, ``run(args) -> int``
and ``main(argv=None) -> int``. A subcommand's module is imported only when it is chosen, so that
``mmext --help`` and ``mmext list`` start without torch.
"""
from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from ..errors import UserError, did_you_mean
from ._common import guarded

# name -> (module in this package, one line of help)
COMMANDS = {
    'train': ('train', 'train a model from a config'),
    'test': ('test', 'evaluate a checkpoint'),
    'infer': ('infer', 'predict on images, folders or videos'),
    'list': ('list_plugins', 'list the plug-ins'),
    'check': ('check', 'check a config without running it'),
    'doctor': ('doctor', 'check this installation'),
    'convert': ('convert', "convert an official checkpoint to mmext's names"),
    'publish': ('publish', 'reduce a checkpoint to its weights, safe to give away'),
    'new': ('new', 'write the skeleton of a new plug-in'),
    'print-config': ('print_config', 'print a config, or explain where a value comes from'),
    'browse': ('browse_dataset', "draw a config's training samples"),
    'text-table': ('text_table', 'embed class names and keep them in a file'),
    'ensemble': ('ensemble', 'fuse the results of several detectors by calibrated scores'),
    'search-student': ('search_student', 'find a student for a teacher without training'),
    'leaderboard': ('leaderboard', 'show evaluations beside published numbers, compare, export, submit'),
}


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f'  {name:<{width}}  {text}' for name, (_, text) in COMMANDS.items()]
    return '\n'.join(['usage: mmext COMMAND ...', '', *lines, '',
                      'mmext COMMAND --help shows what a command takes.'])


def _dispatch(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ('-h', '--help', 'help'):
        print(_usage())
        return 0 if argv else 2
    if argv[0] in ('-V', '--version'):
        from .. import __version__
        print(__version__)
        return 0
    name = argv[0]
    if name not in COMMANDS:
        raise UserError(f"mmext has no command '{name}'{did_you_mean(name, COMMANDS)}\n"
                        f"Commands: {', '.join(COMMANDS)}")
    module = importlib.import_module(f'.{COMMANDS[name][0]}', __name__)
    return module.main(list(argv[1:]))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; the console entry point ``mmext``.

    Args:
        argv: Arguments after the program's name; those of the process by default.

    Returns:
        Exit code: 0 on success, 2 when the user's input is wrong.
    """
    return guarded(lambda: _dispatch(sys.argv[1:] if argv is None else argv))

"""Print a model's parameters and operations, whole and by part, for any host.

MACs are multiply-adds, what the hosts' model zoos and most papers call FLOPs; FLOPs here are twice
that. See mmext/engine/analysis/flops.py for what is counted.
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mmext import hosts
from mmext.cli._common import add_config_arguments, run_command
from mmext.cli.config import load_config
from mmext.errors import UserError

if TYPE_CHECKING:
    from mmext.engine.analysis.flops import Complexity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config_arguments(parser)
    parser.add_argument('--shape', type=int, nargs='+', metavar='N',
                        help='height and width, or one number for both (default: what the test '
                             'pipeline makes of an 800 x 1280 picture)')
    parser.add_argument('--json', type=Path, metavar='FILE',
                        help="also write the numbers here; '-' prints JSON instead of the table")


def _readable(count: int) -> str:
    for unit, size in (('G', 1e9), ('M', 1e6), ('K', 1e3)):
        if abs(count) >= size:
            return f'{count / size:.3f} {unit}'
    return str(count)


def _show(name: str, result: Complexity) -> None:
    from rich.console import Console
    from rich.table import Table
    height, width = result.shape
    table = Table(title=f'{name}, {height} x {width} input')
    table.add_column('part')
    for column in ('parameters', 'MACs', 'FLOPs', '% of MACs'):
        table.add_column(column, justify='right')
    for part, one in result.parts.items():
        table.add_row(part, _readable(one.params), _readable(one.macs), _readable(2 * one.macs),
                      f'{100 * one.macs / max(result.macs, 1):.1f}')
    table.add_section()
    table.add_row('all', _readable(result.params), _readable(result.macs),
                  _readable(result.flops), '100.0')
    console = Console()
    console.print(table)
    if result.trainable != result.params:
        console.print(f'{_readable(result.trainable)} of the parameters are trainable.')
    console.print('MACs: multiply-adds, the "FLOPs" of model zoos and most papers. '
                  'FLOPs: 2 x MACs.')
    if result.mode == 'predict':
        console.print('Counted in prediction mode: this model has no plain forward pass.')
    if result.uncounted:
        calls = ', '.join(f'{op} ({count}x)' for op, count in result.uncounted.items())
        console.print(f'No rule for {calls}: what they compute is not in the numbers.')


def run(args: argparse.Namespace) -> int:
    """Count and print.

    Raises:
        UserError: If the config or the shape is wrong.
    """
    shape = None
    if args.shape:
        if len(args.shape) > 2 or min(args.shape) < 1:
            raise UserError(f'--shape {" ".join(map(str, args.shape))}: expected one or two '
                            'positive numbers, height and width')
        shape = (args.shape[0], args.shape[-1])
    cfg = load_config(args.config, args.cfg_options)
    hosts.repair()
    from mmext.apis.model import build_model, quiet_hosts
    from mmext.apis.writers import replacing
    from mmext.engine.analysis.flops import complexity
    with quiet_hosts():
        result = complexity(cfg, build_model(cfg), shape)
    text = json.dumps(dict(config=args.config, **result.to_dict()), indent=2)
    if args.json is not None and str(args.json) == '-':
        print(text)
        return 0
    _show(Path(args.config).stem, result)
    if args.json is not None:
        with replacing(args.json) as path:
            path.write_text(text + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(run_command(__name__))

#!/usr/bin/env python
"""Make the embedded toy data: small scenes as COCO, DOTA, ADE20K and ImageNet folders."""
from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import Progress

from mmext.cli._common import Parser, guarded
from mmext.datasets import toy


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(prog='make_toy_data.py', description=__doc__)
    parser.add_argument(
        '--root',
        default=str(toy.default_root()),
        help=f'folder to write to (default: ${toy.ROOT_VARIABLE} or {toy.DEFAULT_ROOT}, '
        'which is where configs look)')
    parser.add_argument(
        '--formats',
        nargs='+',
        default=list(toy.FORMATS),
        metavar='FORMAT',
        help=f'any of {", ".join(toy.FORMATS)} (default: all)')
    parser.add_argument('--num-train', type=int, default=400, help='images (default: 400)')
    parser.add_argument('--num-val', type=int, default=100, help='images (default: 100)')
    parser.add_argument('--size', type=int, default=128, help='side in pixels (default: 128)')
    parser.add_argument('--seed', type=int, default=0, help='default: 0')
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Make what is missing and print what there is."""
    start = time.perf_counter()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task('drawing scenes', total=None, visible=False)
        made = toy.make(
            args.root, args.formats, args.num_train, args.num_val, args.size, args.seed,
            progress=lambda done, total: bar.update(
                task, completed=done, total=total, visible=True))
    for record in made:
        print(f'{record.path}: {record.images} images, {record.size / 1e6:.1f} MB, '
              f'{"made" if record.fresh else "was there"} (sha256 {record.digest[:12]})')
    print(f'{time.perf_counter() - start:.1f} s')
    return 0


if __name__ == '__main__':
    sys.exit(guarded(lambda: run(parse_args())))

"""Show where two runs of detectors differ: truth and both answers side by side, in one HTML page.

ONE and OTHER are the .pkl of `tools/test.py --out`, of the same test set. An image's answer is judged by
its F-measure at IoU 0.5 and score 0.3; the images with the largest differences are shown.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmext import hosts
from mmext.cli._common import add_config_arguments, run_command
from mmext.cli.config import load_config
from mmext.errors import UserError

HOSTS = ('mmdet', 'mmrotate')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_config_arguments(parser)
    parser.add_argument('one', type=Path, help='.pkl of a test')
    parser.add_argument('other', type=Path, help='.pkl of another test')
    parser.add_argument('page', type=Path, help='the .html file to write')
    parser.add_argument('--count', type=int, default=12,
                        help='images of each kind to show (default: %(default)s)')


def run(args: argparse.Namespace) -> int:
    """Read, compare, draw.

    Raises:
        UserError: If the config is no detector's, or predictions are missing or of other data.
    """
    for path in (args.one, args.other):
        if not path.is_file():
            raise UserError(f"no predictions at '{path}': tools/test.py --out makes them")
    if args.page.suffix != '.html':
        raise UserError(f"'{args.page}' must end in .html")
    if args.count < 1:
        raise UserError(f'--count {args.count}: expected 1 or more')
    cfg = load_config(args.config, args.cfg_options)
    scope = cfg.get('default_scope')
    if scope not in HOSTS:
        raise UserError(f"default_scope is {scope!r}; this compares detectors of {' and '.join(HOSTS)}")
    hosts.repair()
    from mmengine.fileio import load
    from mmengine.registry import DATASETS, DefaultScope, init_default_scope

    from mmext.apis.drawing import distinct_colours
    from mmext.apis.writers import replacing
    from mmext.leaderboard.side_by_side import pairs, side_by_side_text

    init_default_scope(scope)
    with DefaultScope.overwrite_default_scope(scope):
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
    classes = list(dataset.metainfo['classes'])
    palette = dataset.metainfo.get('palette') or distinct_colours(len(classes))
    found = pairs(dataset, load(str(args.one)), load(str(args.other)))
    # files of one name in two folders are told apart by the folders
    names = args.one.stem, args.other.stem
    if names[0] == names[1]:
        names = f'{args.one.parent.name}/{names[0]}', f'{args.other.parent.name}/{names[1]}'
    with replacing(args.page) as path:
        path.write_text(side_by_side_text(names, found, classes, palette, args.count), encoding='utf-8')
    better = sum(pair.gain > 0 for pair in found), sum(pair.gain < 0 for pair in found)
    print(f'{len(found)} images: {names[1]} is better on {better[0]}, {names[0]} on {better[1]}\n'
          f'written to {args.page}')
    return 0


if __name__ == '__main__':
    sys.exit(run_command(__name__))

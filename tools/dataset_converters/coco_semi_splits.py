"""Split a COCO training set into labelled and unlabelled parts for semi-supervised detection.

The draws are those of mmdet's own misc/split_coco.py (seed = fold), which published results use. It
draws with replacement, so a split may hold slightly fewer labelled pictures than the percentage.
Beyond mmdet's tool: any annotation file, and names that mmdet's configs expect
(instances_train2017.1@10.json; mmdet's tool writes 1@10.0 when the percentage is given).
"""
from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from mmext.cli._common import run_command
from mmext.cli.host_tool import run_host_tool
from mmext.errors import UserError, did_you_mean

_HOST_NAME = 'instances_train2017'  # the only file that mmdet's tool reads


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('--data-root', type=Path, default=Path('data/coco'),
                        help='the data set (default: %(default)s)')
    parser.add_argument('--ann-file', type=Path,
                        help='annotations to split, from the data root on (default: '
                             f'annotations/{_HOST_NAME}.json)')
    parser.add_argument('--out-dir', type=Path,
                        help='where the splits go (default: semi_anns in the data root)')
    parser.add_argument('--labeled-percent', type=float, nargs='+', default=[1, 2, 5, 10],
                        help='percentages with labels (default: 1 2 5 10)')
    parser.add_argument('--fold', type=int, default=5, help='number of folds (default: 5)')


def run(args: argparse.Namespace) -> int:
    """Write a labelled and an unlabelled file for every percentage and fold.

    Raises:
        UserError: If the annotations are missing or not COCO's, or a number is out of range.
    """
    source = (args.data_root / (args.ann_file or f'annotations/{_HOST_NAME}.json')).resolve()
    if not source.is_file():
        near = [path.name for path in source.parent.glob('*.json')]
        raise UserError(f'no annotation file {source}{did_you_mean(source.name, near)}')
    for percent in args.labeled_percent:
        if not 0 < percent <= 100:
            raise UserError(f'--labeled-percent {percent:g}: expected more than 0, at most 100')
    if args.fold < 1:
        raise UserError(f'--fold {args.fold}: expected 1 or more')
    out = args.out_dir or args.data_root / 'semi_anns'
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix='.splitting.') as staged:
        root, done = Path(staged), Path(staged, 'done')
        (root / 'annotations').mkdir()
        (root / 'annotations' / f'{_HOST_NAME}.json').symlink_to(source)
        percents = [f'{percent:g}' for percent in args.labeled_percent]
        try:
            run_host_tool('mmdet', 'misc/split_coco.py',
                          ['--data-root', staged, '--out-dir', str(done), '--labeled-percent',
                           *percents, '--fold', str(args.fold)])
        except (KeyError, ValueError) as error:
            raise UserError(f'{source} is not a COCO annotation file with images, annotations, '
                            f'categories, info and licenses ({error})') from error
        files = sorted(done.glob('*.json'))
        for file in files:
            fold, _, rest = file.stem.removeprefix(f'{_HOST_NAME}.').partition('@')
            percent, dash, unlabeled = rest.partition('-')
            name = f'{source.stem}.{fold}@{float(percent):g}{dash}{unlabeled}.json'
            os.replace(file, out / name)
    print(f'\n{len(files)} files in {out}')
    return 0


if __name__ == '__main__':
    sys.exit(run_command(__name__))

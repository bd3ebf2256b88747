"""Turn DIOR-R's or FAIR1M's XML labels into DOTA label files (x1 y1 ... x4 y4 class difficult).

FAIR1M: convert, then cut the pictures into tiles, as configs/_base_/datasets/fair1m.py expects:
  oriented_xml_to_dota.py fair1m FAIR1M/train/labelXml FAIR1M/train/labelTxt
  dota_tiles.py --preset ss --img-dirs FAIR1M/train/images --ann-dirs FAIR1M/train/labelTxt \\
      --save-dir data/split_ss_fair1m/train
DIOR-R, twice: train and val into labelTxt-trainval, test into labelTxt-test, where
configs/_base_/datasets/dior_r.py expects them:
  oriented_xml_to_dota.py dior-r "DIOR/Annotations/Oriented Bounding Boxes" DIOR/labelTxt-trainval \\
      --split DIOR/ImageSets/Main/train.txt DIOR/ImageSets/Main/val.txt
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmext.cli._common import run_command
from mmext.datasets.oriented_xml import READERS, convert_labels
from mmext.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('format', help=' or '.join(READERS))
    parser.add_argument('source', type=Path, help='folder of the XML files')
    parser.add_argument('target', type=Path, help='folder for the label files')
    parser.add_argument('--split', type=Path, nargs='+',
                        help='text files with the names of the images to convert (default: all)')


def run(args: argparse.Namespace) -> int:
    """Convert and print the number of objects of each class.

    Raises:
        UserError: If the split is missing, or as :func:`mmext.datasets.oriented_xml.convert_labels`.
    """
    names = None
    if args.split is not None:
        for split in args.split:
            if not split.is_file():
                raise UserError(f'--split {split}: no such file')
        names = [name for split in args.split for name in split.read_text().split()]
    counts = convert_labels(args.format, args.source, args.target, names)
    for name, count in sorted(counts.items(), key=lambda item: -item[1]):
        print(f'{count:9d}  {name}')
    print(f'{sum(counts.values())} objects of {len(counts)} classes in {args.target}')
    return 0


if __name__ == '__main__':
    sys.exit(run_command(__name__))

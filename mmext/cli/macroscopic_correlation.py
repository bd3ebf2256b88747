"""Measure how strongly the boxes of an image depend on each other, over COCO annotation files.

Writes a plot of the distribution, and on request a JSON file with the numbers.
"""
from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError, did_you_mean
from ._common import run_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('datasets', nargs='+', metavar='[NAME=]FILE',
                        help="annotation files in COCO's format, with a name for the legend")
    parser.add_argument('--out', type=Path, default=Path('macroscopic_correlation.png'),
                        help='where the plot goes (default: %(default)s)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the numbers here')


def _read(path: Path) -> dict:
    if not path.is_file():
        siblings = [entry.name for entry in path.parent.glob('*.json')] if path.parent.is_dir() else []
        raise UserError(f'no such annotation file: {path}{did_you_mean(path.name, siblings)}')
    try:
        content = json.loads(path.read_text())
        for one in content['annotations']:
            if len(one['bbox']) != 4 or 'image_id' not in one:
                raise ValueError(f"annotation {one.get('id')}: expected 'image_id' and four numbers in "
                                 "'bbox'")
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f'{error} is missing' if isinstance(error, KeyError) else error
        raise UserError(f"{path} is not a COCO annotation file with boxes: {what}") from None
    return content


def run(args: argparse.Namespace) -> int:
    """Measure, print, draw.

    Raises:
        UserError: If a file cannot be read, or no image of it has two boxes.
    """
    import numpy as np

    from ..apis.writers import replacing
    from ..engine.analysis.correlation import correlation_by_image, plot_correlation
    values: dict[str, np.ndarray] = {}
    rows = {}
    for text in args.datasets:
        name, _, file = text.rpartition('=')
        path = Path(file)
        name = name or path.stem
        if name in values:
            raise UserError(f"two datasets are called '{name}': write NAME={file}")
        content = _read(path)
        found = correlation_by_image(content)
        if not found:
            raise UserError(f'{path}: no image has two boxes to compare')
        values[name] = np.array(list(found.values()))
        images = len(content.get('images', ())) or len(found)
        rows[name] = dict(file=str(path), images=len(found), skipped=images - len(found),
                          mean=float(values[name].mean()), median=float(np.median(values[name])),
                          std=float(values[name].std()), by_image=found)
        print(f'{name}: mean {rows[name]["mean"]:.4f}, median {rows[name]["median"]:.4f}, standard '
              f'deviation {rows[name]["std"]:.4f} over {len(found)} images '
              f'({rows[name]["skipped"]} have fewer than two boxes)')
    with replacing(args.out) as path:
        try:
            plot_correlation(values, path)
        except ValueError as error:  # an unknown suffix
            raise UserError(f'--out {args.out}: {error}') from None
    print(f'wrote {args.out}')
    if args.json is not None:
        with replacing(args.json) as path:
            path.write_text(json.dumps(rows, indent=2) + '\n')
        print(f'wrote {args.json}')
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """``tools/analysis_tools/macroscopic_correlation.py``."""
    return run_command(__name__, argv)

"""Turn COCO panoptic annotations into semantic label maps, one PNG per picture.

A pixel gets the index of its category in the order of the annotation file, things and stuff alike;
unlabelled pixels get 255. This is what mmdet's prepare_coco_semantic_annos_from_panoptic_annos.py
writes for COCO. That tool needs panopticapi, which no package registry has, and knows only COCO's
133 categories and its two splits; this one takes the categories from the file.
"""
from __future__ import annotations

import argparse
import functools
import json
import os
import sys
from collections.abc import Mapping
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmext.apis.writers import replacing
from mmext.cli._common import run_command
from mmext.errors import UserError, did_you_mean

UNLABELLED = 255


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('coco_path', type=Path,
                        help='data set with annotations/panoptic_SPLIT.json and the PNGs in '
                             'annotations/panoptic_SPLIT/')
    parser.add_argument('--splits', nargs='+', help='which splits (default: all there are)')
    parser.add_argument('--nproc', type=int, default=os.cpu_count() or 1,
                        help='processes (default: %(default)s)')


def semantic_map(panoptic: np.ndarray, segments: list[Mapping[str, Any]],
                 labels: Mapping[int, int]) -> np.ndarray:
    """Label map of one picture.

    Args:
        panoptic: HWC RGB, uint8: COCO's encoding, id = R + 256 G + 65536 B.
        segments: ``segments_info`` of the picture.
        labels: Label by category id.

    Returns:
        HW, uint8; 255 where no segment is.
    """
    ids = panoptic.astype(np.int64) @ np.array([1, 256, 65536])
    known = {segment['id']: labels[segment['category_id']] for segment in segments}
    values, places = np.unique(ids, return_inverse=True)
    table = np.array([known.get(int(value), UNLABELLED) for value in values], np.uint8)
    return table[places.reshape(ids.shape)]


def _convert(annotation: Mapping[str, Any], source: Path, target: Path,
             labels: Mapping[int, int]) -> None:
    with Image.open(source / annotation['file_name']) as image:
        panoptic = np.asarray(image.convert('RGB'))
    result = semantic_map(panoptic, annotation['segments_info'], labels)
    with replacing(target / annotation['file_name']) as path:
        Image.fromarray(result).save(path)


def _read(file: Path) -> tuple[list[Mapping[str, Any]], dict[int, int]]:
    """The annotations of a split and the label of each category."""
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
        labels = {category['id']: i for i, category in enumerate(content['categories'])}
        annotations = content['annotations']
        used = {segment['category_id'] for one in annotations for segment in one['segments_info']}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f'{file} is not a COCO panoptic file ({type(error).__name__}: {error})'
                        ) from error
    if len(labels) >= UNLABELLED:
        raise UserError(f'{file} has {len(labels)} categories; 8-bit label maps hold 254')
    if used - labels.keys():
        raise UserError(f'{file}: segments of categories that it does not list: '
                        f'{sorted(used - labels.keys())[:5]}')
    return annotations, labels


def run(args: argparse.Namespace) -> int:
    """Convert the splits into ``annotations/panoptic_semseg_SPLIT/``.

    Raises:
        UserError: If a file is missing or not in the panoptic format.
    """
    from rich.progress import track
    folder = args.coco_path / 'annotations'
    have = [file.stem.removeprefix('panoptic_') for file in sorted(folder.glob('panoptic_*.json'))]
    if not have:
        raise UserError(f'no panoptic_*.json in {folder}')
    for split in args.splits or ():
        if split not in have:
            raise UserError(f"no split '{split}' in {folder}{did_you_mean(split, have)} "
                            f"(have: {', '.join(have)})")
    for split in args.splits or have:
        annotations, labels = _read(folder / f'panoptic_{split}.json')
        source, target = folder / f'panoptic_{split}', folder / f'panoptic_semseg_{split}'
        missing = [one['file_name'] for one in annotations
                   if not (source / one['file_name']).is_file()]
        if missing:
            raise UserError(f'{len(missing)} of {len(annotations)} PNGs are not in {source}, for '
                            f'example {missing[0]}')
        target.mkdir(exist_ok=True)
        work = functools.partial(_convert, source=source, target=target, labels=labels)
        with Pool(max(args.nproc, 1)) as pool:
            done = pool.imap_unordered(work, annotations, chunksize=16)
            for _ in track(done, split, total=len(annotations), transient=True):
                pass
        print(f'{split}: {len(annotations)} label maps of {len(labels)} classes in {target}')
    return 0


if __name__ == '__main__':
    sys.exit(run_command(__name__))

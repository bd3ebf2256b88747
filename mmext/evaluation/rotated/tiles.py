"""From the detections of tiles to those of the whole pictures."""
from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import UserError
from .matching import Found
from .nms import rotated_nms

# P0706__1024__824___0: picture, size of the window, its left and upper edge (mmrotate's img_split);
# DOTA_devkit writes the scale of the picture in the place of the size: P0706__0.5__824___0.
_TILE = re.compile(r'(?P<picture>.+?)__(?P<size>\d+(?:\.\d+)?)__(?P<x>\d+)___(?P<y>\d+)')
_LARGEST_SCALE = 16


def tile_of(name: str) -> tuple[str, float, int, int]:
    """Picture, scale and left and upper edge in pixels of the scaled picture of a tile's name.

    A name that is no tile's is that of a whole picture: scale 1, edges 0.

    Raises:
        UserError: If the name has the separators of a tile's but not its parts.
    """
    match = _TILE.fullmatch(name)
    if match is None:
        if '___' in name:
            raise UserError(f"'{name}' is not the name of a tile; expected PICTURE__SIZE__X___Y")
        return name, 1.0, 0, 0
    size = float(match['size'])
    scale = size if '.' in match['size'] or size <= _LARGEST_SCALE else 1.0
    return match['picture'], scale, int(match['x']), int(match['y'])


def merge_tiles(results: Sequence[Mapping[str, Any]], threshold: float, classes: int
                ) -> tuple[list[str], Found]:
    """Put the detections of all tiles where they belong and suppress those found twice.

    Args:
        results: Per tile: ``img_id`` (its name), ``bboxes`` (n, 5 or 8) in pixels of the tile,
            ``scores``, ``labels``.
        threshold: IoU from which two detections of one class are of one object.
        classes: Number of classes.

    Returns:
        The names of the pictures, in the order in which they first come, and the detections in
        pixels of the picture, by picture, class and falling score.

    Raises:
        UserError: If a name is not a tile's.
    """
    names: dict[str, int] = {}
    parts: list[tuple[np.ndarray, ...]] = []
    for result in results:
        picture, scale, x, y = tile_of(result['img_id'])
        number = names.setdefault(picture, len(names))
        boxes = result['bboxes'].astype(np.float32, copy=True)
        boxes[:, :2] += np.array([x, y], np.float32)
        if boxes.shape[1] == 8:
            boxes[:, 2:] += np.array([x, y] * 3, np.float32)
            boxes /= np.float32(scale)
        else:
            boxes[:, :4] /= np.float32(scale)
        parts.append((np.full(len(boxes), number), result['labels'], boxes, result['scores']))
    if not parts:
        return [], Found(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 5), np.float32),
                         np.zeros(0, np.float32))
    image, label, boxes, scores = (np.concatenate(column) for column in zip(*parts))
    group = image.astype(np.int64) * classes + label
    order = np.argsort(group, kind='stable')
    edges = np.flatnonzero(np.diff(group[order], prepend=-1, append=-1)) if len(group) else [0]
    kept = [order[begin:end][rotated_nms(boxes[order[begin:end]], scores[order[begin:end]], threshold)]
            for begin, end in itertools.pairwise(edges)]
    rows = np.concatenate([np.zeros(0, np.int64), *kept])
    return list(names), Found(image[rows].astype(np.int64), label[rows].astype(np.int64), boxes[rows],
                              scores[rows].astype(np.float32))

"""Result files of COCO and DOTA, read and written whole."""
from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...apis.writers import replacing
from ...errors import UserError, did_you_mean
from ...evaluation.coco.columns import Truth, read_truth
from ...evaluation.rotated.files import read_labels, write_task1
from ...evaluation.rotated.matching import Found, Objects
from .columns import Detections


@dataclass(frozen=True)
class Split:
    """The images and classes of a data set, and its ground truth if there is any.

    Attributes:
        kind: 'coco' or 'dota'.
        images: Ids of the images, by number.
        classes: Names of the classes, by number; the order is the annotation file's, as in mmdet.
        objects: The ground truth.
        truth: The same as the COCO evaluation wants it.
        category_ids: Of the classes.
    """

    kind: str
    images: list[Any]
    classes: list[str]
    objects: Objects
    truth: Truth | None = None
    category_ids: tuple[Any, ...] = ()


class Results(NamedTuple):
    """The detections of several detectors, and their masks (RLEs) if all have them."""

    found: Detections
    names: list[str]
    masks: list[Any] | None = None


def read_split(path: Path, classes: Sequence[str] | None = None) -> Split:
    """Ground truth or, without annotations, images and classes.

    Args:
        path: A COCO file, or a folder of DOTA's label files (``labelTxt``).
        classes: Names of DOTA's classes; those of DOTA-v1.0 by default.

    Raises:
        UserError: If it is neither.
    """
    if path.is_dir():
        names = list(classes or _dota_classes())
        pictures, objects = read_labels(path, names, 0)
        return Split('dota', pictures, names, objects)
    if not path.exists():
        raise UserError(f"--ann: there is no '{path}'; give a COCO file or a folder of DOTA label files")
    if classes:
        raise UserError('--classes is for DOTA; a COCO file has its own')
    truth = read_truth(path, str(path), None)
    category_ids = tuple(truth.category_ids[position] for position in truth.labels)
    label_of = np.argsort(truth.labels)
    corners = truth.boxes.copy()
    corners[:, 2:] += corners[:, :2]
    return Split('coco', truth.image_ids, [truth.category_names[position] for position in truth.labels],
                 Objects(truth.image, label_of[truth.category], corners, truth.crowd), truth, category_ids)


def _dota_classes() -> Sequence[str]:
    from mmrotate.datasets import DOTADataset
    return DOTADataset.METAINFO['classes']


def read_results(files: Sequence[str], split: Split) -> Results:
    """The results of several detectors on one split.

    Args:
        files: ``NAME=PATH`` or ``PATH``, whose stem is then the name. A COCO result file, or a folder of
            DOTA Task 1 files.
        split: What they are results of.

    Raises:
        UserError: If a file cannot be read, holds images or classes that the split does not have, has
            scores outside [0, 1], or none of the others' images; two detectors have one name; or some
            have masks and others have none.
    """
    names: list[str] = []
    parts: list[Detections] = []
    masks: list[list[Any] | None] = []
    for given in files:
        name, _, path = given.rpartition('=')
        name = name or Path(path).stem
        if name in names:
            raise UserError(f"two detectors are called '{name}': write NAME={path}")
        read = _read_task1 if split.kind == 'dota' else _read_coco
        part, mask = read(Path(path), split, len(names))
        names.append(name)
        part.check(names, len(split.classes), path)
        parts.append(part)
        masks.append(mask)
    _same_images(parts, names)
    with_masks = [name for name, mask in zip(names, masks) if mask is not None]
    if 0 < len(with_masks) < len(names):
        raise UserError(f"{', '.join(with_masks)} has masks, {', '.join(set(names) - set(with_masks))} has "
                        'none')
    return Results(Detections.joined(parts), names,
                   [one for mask in masks for one in mask or ()] if with_masks else None)


def _same_images(parts: Sequence[Detections], names: Sequence[str]) -> None:
    """A result file does not say which images were tested; results of other images overlap little."""
    seen = [np.unique(part.image) for part in parts]
    for one, name in zip(seen[1:], names[1:]):
        common = len(np.intersect1d(one, seen[0]))
        if 2 * common < max(len(one), len(seen[0])):
            raise UserError(
                f'{name} has detections on {len(one)} images, {names[0]} on {len(seen[0])}, and only '
                f'{common} are the same: are they results of different image sets?')


def _read_coco(path: Path, split: Split, detector: int) -> tuple[Detections, list[Any] | None]:
    try:
        rows = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f'{path}: not a COCO result file: {error}') from None
    keys = ('image_id', 'category_id', 'bbox', 'score')
    if not isinstance(rows, list) or not rows:
        raise UserError(f'{path}: not a COCO result file: expected a list of detections, got '
                        f'{"an empty one" if rows == [] else type(rows).__name__}')
    for at, row in enumerate(rows):
        missing = [key for key in keys if key not in row] if isinstance(row, dict) else keys
        if missing:
            raise UserError(f"{path}: detection {at} has no {', '.join(missing)}"
                            f"{'; give the .bbox.json' if 'segmentation' in row else ''}")
    image_of = {key: number for number, key in enumerate(split.images)}
    label_of = {key: number for number, key in enumerate(split.category_ids)}
    image = _numbers((row['image_id'] for row in rows), image_of, path, 'image', split)
    label = _numbers((row['category_id'] for row in rows), label_of, path, 'category', split)
    try:
        boxes = np.array([row['bbox'] for row in rows], np.float64).reshape(len(rows), 4)
        scores = np.array([row['score'] for row in rows], np.float64)
    except (TypeError, ValueError):
        raise UserError(f'{path}: a bbox is not four numbers, or a score is none') from None
    boxes[:, 2:] += boxes[:, :2]
    masks = [row.get('segmentation') for row in rows]
    without = [at for at, mask in enumerate(masks) if not mask]
    if 0 < len(without) < len(rows):
        raise UserError(f'{path}: detection {without[0]} has no segmentation, others have; '
                        f'{len(without)} of {len(rows)} in all')
    return (Detections.of(image, np.full(len(rows), detector), label, boxes, scores),
            None if without else masks)


def _numbers(ids: Any, number: dict[Any, int], path: Path, what: str, split: Split) -> np.ndarray:
    ids = list(ids)
    unknown = {one for one in ids if one not in number}
    if unknown:
        known = split.truth.source if split.truth else 'the label files'
        raise UserError(f'{path}: {len(unknown)} {what} ids unknown to {known}, such as '
                        f'{next(iter(unknown))!r}: are they results of another data set?')
    return np.array([number[one] for one in ids], np.int64)


def _read_task1(path: Path, split: Split, detector: int) -> tuple[Detections, None]:
    files = sorted(path.glob('Task1_*.txt'))
    if not files:
        raise UserError(f"{path}: there are no Task1_CLASS.txt files; give the folder that mmext.DOTAMetric "
                        'writes (outfile_prefix)')
    number = {name: at for at, name in enumerate(split.images)}
    parts = []
    for file in files:
        name = file.stem.removeprefix('Task1_')
        if name not in split.classes:
            raise UserError(f"{file}: '{name}' is no class of the split{did_you_mean(name, split.classes)} "
                            '(--classes names others than DOTA-v1.0\'s)')
        images, rows = [], []
        for at, line in enumerate(file.read_text(encoding='utf-8').splitlines(), 1):
            picture, *words = line.split() or ['']
            if not picture:
                continue
            try:
                score, *corners = map(float, words)
            except ValueError:
                score, corners = 0., []
            if len(corners) != 8:
                raise UserError(f"{file}:{at}: expected a picture, a score and eight numbers, got '{line}'")
            images.append(picture)
            rows.append([*corners, score])
        table = np.array(rows, np.float64).reshape(-1, 9)
        count = len(table)
        parts.append(Detections.of(
            _numbers(images, number, file, 'picture', split), np.full(count, detector),
            np.full(count, split.classes.index(name)), table[:, :8], table[:, 8]))
    return Detections.joined(parts), None


def write_results(path: Path, found: Detections, split: Split, masks: Sequence[Any] | None = None) -> Path:
    """Write fused detections in the form of their data set's result files.

    Args:
        path: A JSON file, or for DOTA a folder to make.
        found: The detections.
        split: Of which data set.
        masks: N RLEs.

    Returns:
        What was written.

    Raises:
        UserError: If the folder exists.
    """
    if split.kind == 'dota':
        rows = Found(found.image, found.label, found.boxes, found.scores.astype(np.float32))
        write_task1(path, split.images, rows, split.classes)
        return path
    boxes = found.boxes.copy()
    boxes[:, 2:] -= boxes[:, :2]
    columns = zip(found.image.tolist(), found.label.tolist(), boxes.tolist(), found.scores.tolist())
    records = [dict(image_id=split.images[image], category_id=split.category_ids[label], bbox=box,
                    score=score) for image, label, box, score in columns]
    if masks is not None:
        for record, mask in zip(records, masks):
            record['segmentation'] = mask
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(records), encoding='utf-8')
    return path

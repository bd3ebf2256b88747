"""Images with a class and boxes, to measure how well a classifier localises."""
from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from mmpretrain.datasets import CUB, CustomDataset

from ..errors import UserError, did_you_mean
from ..registry import DATASETS

Boxes = dict[str, list[list[float]]]


@DATASETS.register_module()
class LocalizationDataset(CustomDataset):
    """mmpretrain's CustomDataset with the boxes of each image, as ``gt_bboxes`` ``(n, 4)``, x1 y1 x2 y2.

    Steps of mmcv (``Resize``, ``CenterCrop``) move the boxes with the image; those of mmpretrain
    (``ResizeEdge``) do not. ``PackInputs`` keeps them with ``algorithm_keys=('gt_bboxes', )``.

    Args:
        boxes: Where the boxes are, under ``data_root``: a folder of Pascal VOC XML (ImageNet's
            ``Annotations/CLS-LOC/val``), a ``.csv`` as Kaggle's ``LOC_val_solution.csv``, or a ``.json`` of
            file name to list of boxes. Images are found by file name, without folder and suffix.
        kwargs: As for mmpretrain's CustomDataset.

    Raises:
        UserError: If the file is missing or unreadable, or has no box for an image.

    Example:
        >>> dataset = dict(type='mmext.LocalizationDataset', data_root='data/imagenet', data_prefix='val',
        ...                ann_file='meta/val.txt', boxes='Annotations/CLS-LOC/val')
    """

    def __init__(self, *args: Any, boxes: str, **kwargs: Any) -> None:
        self.boxes = boxes
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Images, classes and boxes."""
        source = Path(self.data_root or '', self.boxes)
        samples = super().load_data_list()
        boxes = read_boxes(source, [Path(one['img_path']).stem for one in samples])
        for sample in samples:
            sample['gt_bboxes'] = _array(boxes, Path(sample['img_path']).stem, source)
        return samples


@DATASETS.register_module()
class CUBLocalization(CUB):
    """mmpretrain's CUB-200-2011 with the boxes of its ``bounding_boxes.txt``, as ``gt_bboxes`` ``(1, 4)``.

    Args:
        args: As for mmpretrain's CUB.
        kwargs: The same.

    Raises:
        UserError: If the file is missing or has no box for an image.

    Example:
        >>> dataset = dict(type='mmext.CUBLocalization', data_root='data/CUB_200_2011', split='test')
    """

    def load_data_list(self) -> list[dict[str, Any]]:
        """Images, classes and boxes."""
        source = Path(self.data_root, 'bounding_boxes.txt')
        boxes: Boxes = {}
        for number, line in enumerate(_text(source).splitlines(), 1):
            try:
                image, x, y, width, height = (float(part) for part in line.split())
            except ValueError:
                raise UserError(f"{source}, line {number}: expected 'id x y width height', got "
                                f"'{line}'") from None
            boxes[str(int(image))] = [[x, y, x + width, y + height]]
        names = {name: str(index + 1) for index, name in self._load_data_from_txt(self.ann_file).items()}
        samples = super().load_data_list()
        for sample in samples:
            name = '/'.join(Path(sample['img_path']).parts[-2:])
            sample['gt_bboxes'] = _array(boxes, names[name], source)
        return samples


def read_boxes(source: Path, stems: list[str]) -> Boxes:
    """Boxes by file name without suffix.

    Args:
        source: A folder of XML, a ``.csv`` or a ``.json``.
        stems: Which to read, of a folder.

    Raises:
        UserError: If it is missing, of another kind, or not what its suffix says.
    """
    if source.is_dir():
        return {stem: _from_xml(source / f'{stem}.xml') for stem in stems}
    if source.suffix == '.json':
        try:
            content = json.loads(_text(source))
            return {Path(name).stem: boxes for name, boxes in content.items()}
        except (ValueError, AttributeError) as error:
            raise UserError(f'{source}: expected a JSON object of file name to list of boxes '
                            f'({error})') from None
    if source.suffix == '.csv':
        return dict(_from_row(source, row) for row in csv.DictReader(_text(source).splitlines()))
    siblings = [entry.name for entry in source.parent.glob('*')] if source.parent.is_dir() else []
    raise UserError(f'boxes: {source} is neither a folder of XML files nor a .csv or .json'
                    f'{did_you_mean(source.name, siblings)}')


def _text(source: Path) -> str:
    try:
        return source.read_text()
    except OSError as error:
        siblings = [entry.name for entry in source.parent.glob('*')] if source.parent.is_dir() else []
        raise UserError(f'{source}: cannot read the boxes ({error.strerror})'
                        f'{did_you_mean(source.name, siblings)}; toy data of an older version have none: '
                        'make them anew') from None


def _from_xml(path: Path) -> list[list[float]]:
    try:
        found = ElementTree.fromstring(_text(path)).iter('bndbox')
        return [[float(box.findtext(side, '')) for side in ('xmin', 'ymin', 'xmax', 'ymax')] for box in found]
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(f'{path}: expected Pascal VOC XML with bndbox ({error})') from None


def _from_row(source: Path, row: dict[str, Any]) -> tuple[str, list[list[float]]]:
    try:
        words = row['PredictionString'].split()
        boxes = [[float(side) for side in words[at + 1:at + 5]] for at in range(0, len(words), 5)]
        return row['ImageId'], boxes
    except (KeyError, ValueError, AttributeError):
        raise UserError(f"{source}: expected the columns ImageId and PredictionString ('class x1 y1 x2 y2 "
                        f"...'), got {row}") from None


def _array(boxes: Boxes, key: str, source: Path) -> np.ndarray:
    found = boxes.get(key)
    if not found:
        raise UserError(f"{source} has no box for the image '{key}'")
    array = np.asarray(found, np.float32)
    if array.ndim != 2 or array.shape[1] != 4 or not np.isfinite(array).all() or (
            array[:, :2] >= array[:, 2:]).any():
        raise UserError(f"{source}: the boxes of '{key}' are {found}; expected lists of x1, y1, x2, y2 with "
                        'x1 < x2 and y1 < y2')
    return array

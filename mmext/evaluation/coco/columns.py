"""Ground truth and detections of a COCO data set as columns.

Images and categories are numbered in the order of their ids, because ties between equal scores are
broken in that order. Everything behind this module sees numbers from 0 only, so an id may be 0, a
string or 2**40, and a file's list of categories may have any order.
"""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError, did_you_mean
from ..arrays import ImageCheck


@dataclass(frozen=True)
class Detections:
    """N detections.

    Attributes:
        image: (N, ) int64, position of the image among the sorted image ids.
        category: (N, ) int64, position of the category among the sorted category ids.
        boxes: (N, 4) float64, x, y, width, height in pixels.
        scores: (N, ) float64.
        masks: N compressed RLEs, or None.
    """

    image: np.ndarray
    category: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    masks: list[Any] | None = None

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class Truth:
    """The ground truth of a data set.

    Attributes:
        source: Where it comes from, for messages.
        image_ids: The ids of all I images, sorted.
        sizes: (I, 2) int64, height and width in pixels; 0 where the file does not say.
        category_ids: The ids of the K categories that are evaluated, sorted.
        category_names: Their names.
        labels: (C, ) int64, position of class i of the data set among the sorted categories.
        image, category, boxes, area, crowd: Columns of the N objects: positions, (N, 4) x, y,
            width, height, square pixels, bool.
        segmentations: N polygons or RLEs as in the file, or None if no object has one.
    """

    source: str
    image_ids: list
    sizes: np.ndarray
    category_ids: list
    category_names: list[str]
    labels: np.ndarray
    image: np.ndarray
    category: np.ndarray
    boxes: np.ndarray
    area: np.ndarray
    crowd: np.ndarray
    segmentations: list | None = None

    def __len__(self) -> int:
        return len(self.image)

    def with_rles(self) -> Truth:
        """The same with every segmentation as a compressed RLE, drawn by pycocotools.

        Raises:
            UserError: If an object has no segmentation, or its image no size.
        """
        from pycocotools import mask as masks

        if self.segmentations is None:
            raise UserError(f"{self.source}: no object has a segmentation, metric 'segm' needs them")
        rles = []
        for row, (image, value) in enumerate(zip(self.image.tolist(), self.segmentations)):
            height, width = self.sizes[image].tolist()
            if not value or not height or not width:
                what = 'no segmentation' if not value else 'an image without height and width'
                raise UserError(f"{self.source}: object {row} (image {self.image_ids[image]!r}) has "
                                f"{what}, metric 'segm' needs them")
            if isinstance(value, list):
                rles.append(masks.merge(masks.frPyObjects(value, height, width)))
            elif isinstance(value['counts'], list):
                rles.append(masks.frPyObjects(value, height, width))
            else:
                rles.append(value)
        return replace(self, segmentations=rles)


def read_truth(path: str | Path, source: str, classes: Sequence[str] | None) -> Truth:
    """The ground truth in a COCO file.

    Args:
        path: A JSON file.
        source: What messages call it.
        classes: Names of the classes that are evaluated; None for all of the file. Label i means
            the i-th of them *in the order of the file*, as in mmdet's ``CocoDataset``.

    Raises:
        UserError: If the file is not a COCO file, has none of a class, or an object without
            category, image or box.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f'{source}: not a COCO annotation file: {error}') from None
    missing = [key for key in ('images', 'categories') if key not in content] \
        if isinstance(content, dict) else ['images', 'categories']
    if missing:
        raise UserError(f"{source}: not a COCO annotation file, it has no {' and no '.join(missing)}")
    return make_truth(content, source, classes)


def make_truth(content: Mapping[str, Any], source: str, classes: Sequence[str] | None) -> Truth:
    """The ground truth in the content of a COCO file. See :func:`read_truth`.

    Where the file leaves out ``iscrowd``, it is 0, and the area is that of the box; objects of
    images that the file does not list are left out, as pycocotools does.
    """
    categories = {one['id']: one.get('name', str(one['id'])) for one in content['categories']}
    known = list(categories)
    if classes is not None:
        for name in classes:
            if name not in categories.values():
                raise UserError(f"{source}: no category '{name}', which the data set's metainfo has"
                                f'{did_you_mean(name, categories.values())} The file has '
                                f"{', '.join(list(categories.values())[:8])}")
        known = [key for key, name in categories.items() if name in classes]
    images = sorted(content['images'], key=lambda one: one['id'])
    image_of = {one['id']: i for i, one in enumerate(images)}
    category_ids = sorted(known)
    category_of = {key: i for i, key in enumerate(category_ids)}

    objects = []
    for one in content.get('annotations', ()):
        for key in ('image_id', 'category_id', 'bbox'):
            if key not in one:
                raise UserError(f"{source}: annotation {one.get('id')} has no {key}")
        if one['category_id'] not in categories:
            raise UserError(f"{source}: annotation {one.get('id')} is of category "
                            f"{one['category_id']!r}, which the file does not list")
        if one['image_id'] in image_of and one['category_id'] in category_of:
            objects.append(one)
    boxes = np.array([one['bbox'] for one in objects], np.float64).reshape(len(objects), 4)
    segmentations = [one.get('segmentation') for one in objects]
    return Truth(
        source=source,
        image_ids=[one['id'] for one in images],
        sizes=np.array([(one.get('height', 0), one.get('width', 0)) for one in images],
                       np.int64).reshape(len(images), 2),
        category_ids=category_ids,
        category_names=[categories[key] for key in category_ids],
        labels=np.array([category_of[key] for key in known], np.int64),
        image=np.array([image_of[one['image_id']] for one in objects], np.int64),
        category=np.array([category_of[one['category_id']] for one in objects], np.int64),
        boxes=boxes,
        area=np.array([one.get('area', one['bbox'][2] * one['bbox'][3]) for one in objects], np.float64),
        crowd=np.array([bool(one.get('iscrowd', 0)) for one in objects], bool),
        segmentations=segmentations if any(segmentations) else None)


def collect_detections(results: Sequence[Mapping[str, Any]], truth: Truth) -> Detections:
    """Pack the detections of all images.

    Args:
        results: Per image: ``img_id``, ``bboxes`` (n, 4) x1, y1, x2, y2 in pixels of the original
            image, ``scores`` (n, ), ``labels`` (n, ), and perhaps ``masks`` (n RLEs).
        truth: What they are compared with.

    Returns:
        In the order of ``results``. Boxes that reach beyond their image stay as they are.

    Raises:
        UserError: If an image is not one of ``truth`` or comes twice, a label is none of its
            classes, a score or box is not finite, or columns differ in length.
    """
    position = {key: i for i, key in enumerate(truth.image_ids)}
    check = ImageCheck(len(truth.labels))
    for result in results:
        image = result['img_id']
        if image not in position:
            unknown = [one['img_id'] for one in results if one['img_id'] not in position]
            raise UserError(f'{truth.source}: {len(unknown)} of {len(results)} results are of images '
                            f'that it does not have, the first is {unknown[0]!r}; is it the '
                            'annotation file of this data set?')
        check(image, result['bboxes'], result['scores'], result['labels'])
        if result.get('masks') is not None and len(result['masks']) != len(result['labels']):
            raise UserError(f"image {image!r}: {len(result['masks'])} masks of {len(result['labels'])} "
                            'detections')

    counts = [len(result['labels']) for result in results]
    corners = np.concatenate([np.zeros((0, 4)), *(one['bboxes'] for one in results)]).astype(np.float64)
    corners[:, 2:] -= corners[:, :2]  # in double precision, as from JSON
    label = np.concatenate([np.zeros(0, np.int64), *(one['labels'] for one in results)]).astype(np.int64)
    masks = [mask for one in results for mask in one['masks']] \
        if results and all(one.get('masks') is not None for one in results) else None
    return Detections(
        image=np.repeat(np.array([position[one['img_id']] for one in results], np.int64), counts),
        category=truth.labels[label] if len(label) else label,
        boxes=corners,
        scores=np.concatenate([np.zeros(0), *(one['scores'] for one in results)]).astype(np.float64),
        masks=masks)


def without_categories(truth: Truth, detections: Detections) -> tuple[Truth, Detections]:
    """The same with one category: COCO's ``useCats=0``, by which proposals are evaluated.

    COCO then goes through an image category by category, which decides between equal scores.
    """
    order = np.lexsort((truth.category, truth.image))
    one_truth = replace(
        truth, category_ids=[1], category_names=['object'], category=np.zeros_like(truth.category),
        **{key: getattr(truth, key)[order] for key in ('image', 'boxes', 'area', 'crowd')},
        segmentations=None)
    order = np.lexsort((detections.category, detections.image))
    return one_truth, Detections(detections.image[order], np.zeros_like(detections.category),
                                 detections.boxes[order], detections.scores[order])

"""Small random COCO data sets: crowds, ties, empty classes and images, odd ids, masks."""
from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from pycocotools import mask as masks

SIDE = 128
IMAGE_IDS = [7, 3, 0, 12, 2**40]
CATEGORY_IDS = [5, 2, 0, 9]


@st.composite
def data_sets(draw: st.DrawFn) -> tuple[dict, list[dict]]:
    """The content of a COCO file, and a result per image as ``CocoMetric`` keeps it."""
    seed = draw(st.integers(0, 2**32 - 1))
    return random_data_set(
        np.random.default_rng(seed), images=draw(st.integers(1, 5)), classes=draw(st.integers(1, 4)),
        objects=draw(st.integers(0, 6)), found=draw(st.integers(0, 12)))


def random_data_set(rng: np.random.Generator, images: int, classes: int, objects: int, found: int
                    ) -> tuple[dict, list[dict]]:
    """Up to ``objects`` and ``found`` per image; scores have one digit, so that many are equal."""
    image_ids, category_ids = IMAGE_IDS[:images], CATEGORY_IDS[:classes]
    annotations: list[dict[str, Any]] = []
    results = []
    for image in image_ids:
        boxes = _boxes(rng, rng.integers(0, objects + 1))
        for box in boxes:
            crowd = int(rng.random() < 0.2)
            annotations.append(dict(
                id=len(annotations) + 1, image_id=image, bbox=box.tolist(), iscrowd=crowd,
                category_id=int(rng.choice(category_ids)),
                area=float(box[2] * box[3] * rng.choice([1, 0.6])),
                segmentation=_segmentation(rng, box, crowd)))
        near = boxes[rng.integers(0, len(boxes), found // 2)] if len(boxes) else boxes
        answers = np.concatenate([near + rng.integers(-3, 4, near.shape), _boxes(rng, found // 2)])
        answers[:, 2:] = answers[:, 2:].clip(1)
        corners = np.concatenate([answers[:, :2], answers[:, :2] + answers[:, 2:]], axis=1)
        results.append(dict(
            img_id=image, bboxes=corners.astype(np.float32),
            scores=rng.integers(0, 10, len(answers)).astype(np.float32) / 10,
            labels=rng.integers(0, classes, len(answers)),
            masks=[_rle(box) for box in answers]))
    content = dict(
        images=[dict(id=key, height=SIDE, width=SIDE) for key in image_ids],
        categories=[dict(id=key, name=f'class {key}') for key in category_ids],
        annotations=annotations)
    return content, results


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    size = rng.integers(1, 100, (count, 2))
    start = rng.integers(0, SIDE - size.clip(max=SIDE - 1))
    return np.concatenate([start, size], axis=1).astype(np.float64)


def _rle(box: np.ndarray) -> dict:
    x, y, width, height = box.astype(int)
    bitmap = np.zeros((SIDE, SIDE), np.uint8, order='F')
    bitmap[max(y, 0):y + height, max(x, 0):x + width] = 1
    return masks.encode(bitmap)


def _segmentation(rng: np.random.Generator, box: np.ndarray, crowd: int) -> Any:
    x, y, width, height = box.tolist()
    if crowd:
        rle = _rle(box)
        return dict(size=rle['size'], counts=rle['counts'].decode())
    return [[x, y, x + width, y, x + width * rng.random(), y + height]]

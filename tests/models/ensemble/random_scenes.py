"""Random detections of several detectors near random objects, upright and oriented."""
from __future__ import annotations

import numpy as np

from mmext.evaluation.rotated.matching import Objects
from mmext.models.ensemble import Detections

CLASSES = ('bar', 'disc', 'ring')
DETECTORS = ('one', 'two', 'three')


def random_boxes(rng: np.random.Generator, count: int, width: int = 4) -> np.ndarray:
    """(count, 4, 5 or 8) boxes in a picture of 100 pixels."""
    low, size = rng.uniform(0, 80, (count, 2)), rng.uniform(4, 40, (count, 2))
    if width == 4:
        return np.concatenate([low, low + size], axis=1)
    boxes = np.concatenate([low, size, rng.uniform(-1.5, 1.5, (count, 1))], axis=1)
    if width == 5:
        return boxes
    from tests.evaluation.dota_data import corners
    return corners(boxes)


def random_scenes(seed: int, images: int = 6, objects: int = 5, found: int = 12, width: int = 4,
                  ties: bool = False, ignored: float = 0.0) -> tuple[Detections, Objects]:
    """Detections of three detectors, half of them near objects, and the objects."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(images), objects)
    boxes = random_boxes(rng, len(image), width)
    label = rng.integers(0, len(CLASSES), len(image))
    truth = Objects(image, label, boxes, rng.random(len(image)) < ignored)
    parts = []
    for detector in range(len(DETECTORS)):
        near = rng.integers(0, len(image), images * found // 2)
        count = len(near)
        noise = rng.normal(0, 1.5, (count, boxes.shape[1]))
        if width == 5:
            noise[:, 4] *= 0.02
        moved = boxes[near] + noise
        if width == 4:
            moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        elif width == 5:
            moved[:, 2:4] = np.maximum(moved[:, 2:4], 1)
        scores = rng.random(2 * count)
        if ties:
            scores = scores.round(1)
        parts.append(Detections.of(
            np.concatenate([image[near], rng.integers(0, images, count)]), np.full(2 * count, detector),
            np.concatenate([label[near], rng.integers(0, len(CLASSES), count)]),
            np.concatenate([moved, random_boxes(rng, count, width)]), scores))
    return Detections.joined(parts), truth

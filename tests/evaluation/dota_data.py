"""Random oriented boxes: objects, difficult ones, and detections near them and elsewhere."""
from __future__ import annotations

from typing import Any

import numpy as np
import torch


def random_boxes(rng: np.random.Generator, count: int, side: float = 256) -> np.ndarray:
    """(count, 5) float32: centre, width, height, angle."""
    return np.concatenate([rng.uniform(0, side, (count, 2)), rng.uniform(4, side / 4, (count, 2)),
                           rng.uniform(-np.pi / 2, np.pi / 2, (count, 1))], axis=1).astype(np.float32)


def corners(boxes: np.ndarray) -> np.ndarray:
    """(n, 5) -> (n, 8), in double precision."""
    x, y, width, height, angle = boxes.astype(np.float64).T
    along = np.stack([np.cos(angle), np.sin(angle)], axis=1) * width[:, None] / 2
    across = np.stack([-np.sin(angle), np.cos(angle)], axis=1) * height[:, None] / 2
    centre = np.stack([x, y], axis=1)
    return np.concatenate([centre - along - across, centre + along - across, centre + along + across,
                           centre - along + across], axis=1)


def random_samples(rng: np.random.Generator, images: int, classes: int, objects: int, found: int,
                   ties: bool = False, kind: str = 'rbox') -> list[dict[str, Any]]:
    """Samples in the form in which the evaluator hands them to a metric."""
    samples = []
    for image in range(images):
        truth = random_boxes(rng, int(rng.integers(0, objects + 1)))
        labels = rng.integers(0, classes, len(truth))
        hard = rng.random(len(truth)) < 0.2
        near = rng.integers(0, max(len(truth), 1), found // 2 if len(truth) else 0)
        noise = rng.normal(0, 1, (len(near), 5)) * [1.5, 1.5, 2, 2, 0.06]
        answer = np.concatenate([truth[near] + noise, random_boxes(rng, found // 2)]).astype(np.float32)
        answer[:, 2:4] = np.abs(answer[:, 2:4]) + 1
        label = np.concatenate([labels[near], rng.integers(0, classes, found // 2)])
        scores = rng.random(len(answer)).astype(np.float32)
        if ties:
            scores = scores.round(1)
        if kind == 'qbox':
            truth, answer = (corners(boxes).astype(np.float32) for boxes in (truth, answer))
        samples.append(dict(
            img_id=f'P{image:04d}',
            pred_instances=_instances(answer, label, scores=scores),
            gt_instances=_instances(truth[~hard], labels[~hard]),
            ignored_instances=_instances(truth[hard], labels[hard])))
    return samples


def _instances(boxes: np.ndarray, labels: np.ndarray, **more: np.ndarray) -> dict[str, torch.Tensor]:
    columns = dict(bboxes=np.ascontiguousarray(boxes), labels=labels.astype(np.int64), **more)
    return {key: torch.from_numpy(value) for key, value in columns.items()}

"""Macroscopic correlation of the boxes of an image, from "Relation DETR" (arXiv 2407.11699, section 3).

How much the boxes ``[x, y, w, h]`` of an image say about each other: the mean absolute Pearson
correlation of its pairs of boxes. Datasets where it is high have more to gain from a position relation.
"""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def macroscopic_correlation(boxes: np.ndarray) -> float | None:
    """Mean absolute correlation of all pairs of boxes.

    Args:
        boxes: ``(n, 4)`` as left, top, width, height. Boxes with four equal numbers have no correlation
            with anything and are left out.

    Returns:
        From 0 to 1, or None if fewer than two boxes are left.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    centred = boxes - boxes.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1)
    usable = length > 1e-12 * np.abs(boxes).max(axis=1, initial=0)
    if usable.sum() < 2:
        return None
    unit = centred[usable] / length[usable, None]
    count = len(unit)
    total = np.abs(unit @ unit.T).clip(max=1).sum()
    return float((total - count) / (count * (count - 1)))


def correlation_by_image(annotations: Mapping[str, object]) -> dict[int, float]:
    """The correlation of every image of a COCO annotation file that has one, by image id.

    Args:
        annotations: The parsed file; crowd regions are passed over.
    """
    boxes: dict[int, list[list[float]]] = {}
    for one in annotations['annotations']:  # type: ignore[attr-defined]
        if not one.get('iscrowd'):
            boxes.setdefault(one['image_id'], []).append(one['bbox'])
    found = {image: macroscopic_correlation(np.array(these)) for image, these in boxes.items()}
    return {image: value for image, value in found.items() if value is not None}


def plot_correlation(values: Mapping[str, np.ndarray], path: Path) -> None:
    """Draw how the correlation is distributed in each dataset.

    Args:
        values: Correlations of the images, by the dataset's name.
        path: Image file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=150, layout='constrained')
    axes = figure.add_subplot()
    for name, these in values.items():
        weights = np.full(len(these), 100 / len(these))
        axes.hist(these, bins=50, range=(0, 1), weights=weights, histtype='step', linewidth=1.5,
                  label=f'{name}: mean {these.mean():.3f}, {len(these)} images')
    axes.set_xlim(0, 1)
    axes.set_xlabel('macroscopic correlation')
    axes.set_ylabel('% of the images')
    axes.legend(loc='upper left')
    figure.savefig(path)

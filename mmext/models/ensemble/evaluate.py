"""Average precision of fused detections, upright or oriented, by one rule."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...evaluation.coco import backends as coco
from ...evaluation.coco.columns import Detections as CocoDetections
from ...evaluation.rotated.matching import Found, Objects, evaluate
from .columns import Detections
from .results import Split

#: IoU thresholds of COCO.
THRESHOLDS = [round(0.5 + 0.05 * step, 2) for step in range(10)]


def _oriented(boxes: np.ndarray) -> np.ndarray:
    """Upright boxes as oriented ones; others as they are. Single precision, as the rule has it."""
    if boxes.shape[1] == 4:
        size = boxes[:, 2:] - boxes[:, :2]
        boxes = np.concatenate([boxes[:, :2] + size / 2, size, np.zeros((len(boxes), 1))], axis=1)
    return boxes.astype(np.float32)


def mean_ap(found: Detections, objects: Objects, classes: int, thresholds: Sequence[float]) -> float:
    """Area under the precision-recall curve, mean over the classes with objects and over thresholds.

    Args:
        found: Fused detections; which detector they come from does not matter.
        objects: The ground truth.
        classes: Number of classes.
        thresholds: IoU thresholds from 0.001 up.

    Returns:
        0 to 1; 0 if there is no object.
    """
    order = np.argsort(found.image, kind='stable')
    results = evaluate(
        Objects(objects.image, objects.label, _oriented(objects.boxes), objects.difficult),
        Found(found.image[order], found.label[order], _oriented(found.boxes[order]),
              found.scores[order].astype(np.float32)),
        thresholds, classes, eleven_points=False, exact=found.boxes.shape[1] == 8)
    values = [result.ap.mean() for result in results if result.objects]
    return float(np.mean(values)) if values else 0.0


def figures(found: Detections, split: Split) -> dict[str, float]:
    """The figures of the split's own evaluation, in percent.

    COCO: box AP, AP50 and AP75 at 100 detections an image, crowds ignored. DOTA: mAP (at an IoU of
    0.5:0.05:0.95), AP50 and AP75, by PASCAL VOC 2007's eleven points as the server has it.

    Args:
        found: Fused detections.
        split: With ground truth.
    """
    if split.truth is not None:
        boxes = found.boxes.copy()
        boxes[:, 2:] -= boxes[:, :2]
        table = coco.evaluate(
            split.truth, CocoDetections(found.image, split.truth.labels[found.label], boxes, found.scores),
            'bbox', THRESHOLDS, [1, 10, 100])
        return {'AP': 100 * table.ap(), 'AP50': 100 * table.ap(0.5), 'AP75': 100 * table.ap(0.75)}
    order = np.argsort(found.image, kind='stable')
    results = evaluate(split.objects, Found(found.image[order], found.label[order], found.boxes[order],
                                            found.scores[order].astype(np.float32)),
                       THRESHOLDS, len(split.classes), eleven_points=True, exact=True)
    values = np.array([result.ap for result in results if result.objects]).reshape(-1, len(THRESHOLDS))
    mean = 100 * values.mean(axis=0) if len(values) else np.zeros(len(THRESHOLDS))
    return {'AP': float(mean.mean()), 'AP50': float(mean[0]), 'AP75': float(mean[5])}

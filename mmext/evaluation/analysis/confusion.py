"""Which class is taken for which: detections against objects."""
from __future__ import annotations

import numpy as np

from ..rotated.matching import Found, Objects
from .boxes import greedy_match, overlaps


def box_confusion(objects: Objects, found: Found, classes: int, threshold: float = 0.5,
                  score: float = 0.3) -> np.ndarray:
    """Count objects by their class and that of the detection on them, upright or oriented.

    Detections choose by falling score, each the object that overlaps most and is still free, whatever
    its class. What lies on a difficult object or crowd alone is not counted.

    Args:
        classes: Number of classes, C.
        threshold: IoU from which a detection is on an object.
        score: Detections below it are left out.

    Returns:
        (C + 1, C + 1) int64; rows are the true class, columns the detected one. The last column counts
        objects that nothing is on, the last row detections that are on nothing.
    """
    a, b, ious = overlaps(objects, found)
    fit = (ious >= threshold) & (found.scores[a] >= score)
    owner, counts, taken = greedy_match(objects, found, (a[fit], b[fit], ious[fit]))
    kept = counts & (found.scores >= score)
    true = np.full(len(found), classes)
    true[owner >= 0] = objects.label[owner[owner >= 0]]
    matrix = np.zeros((classes + 1, classes + 1), np.int64)
    np.add.at(matrix, (true[kept], found.label[kept]), 1)
    nothing = ~taken & ~objects.difficult
    np.add.at(matrix, (objects.label[nothing], classes), 1)
    return matrix

"""Precision against recall, and average precision, from what was right and what was wrong."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..rotated.matching import Found, Objects
from .boxes import greedy_match, of_one_class, overlaps

RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Curve:
    """One class at one threshold.

    Attributes:
        objects: How many there are to find.
        scores: (n, ) of the detections that count, falling.
        recall, precision: (n, ) after each of them.
        ap: COCO's average precision (101 recalls); NaN without objects.
    """

    objects: int
    scores: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    ap: float


def precision_recall(objects: Objects, found: Found, classes: int, threshold: float = 0.5
                     ) -> list[Curve]:
    """The curve of each class, matched by COCO's rule.

    Args:
        classes: Number of classes.
        threshold: IoU from which a detection has found an object.
    """
    pairs = of_one_class(objects, found, overlaps(objects, found), threshold)
    owner, counts, _ = greedy_match(objects, found, pairs)
    positives = np.bincount(objects.label[~objects.difficult], minlength=classes)
    return curves(found.label[counts], found.scores[counts], owner[counts] >= 0, positives)


def curves(label: np.ndarray, scores: np.ndarray, right: np.ndarray, positives: np.ndarray
           ) -> list[Curve]:
    """The curve of each class from detections that are right or wrong.

    Args:
        label, scores, right: (n, ) columns of the detections that count.
        positives: (C, ) objects to find.
    """
    out = []
    for one, count in enumerate(positives.tolist()):
        rows = np.flatnonzero(label == one)
        rows = rows[np.argsort(-scores[rows], kind='stable')]
        hits = np.cumsum(right[rows])
        precision = hits / np.arange(1, len(rows) + 1)
        recall = hits / max(count, 1)
        out.append(Curve(count, scores[rows], recall, precision,
                         _average(recall, precision) if count else float('nan')))
    return out


def _average(recall: np.ndarray, precision: np.ndarray) -> float:
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(envelope[np.searchsorted(recall, RECALLS)].mean())

"""Why a detector's AP is not 1: six kinds of errors and what each of them costs.

After Bolya, Foley, Hays, Hoffman: "TIDE: A General Toolbox for Identifying Object Detection Errors",
ECCV 2020 (section 2.2 for the kinds, 2.3 for their weights). https://arxiv.org/abs/2008.08115
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..rotated.matching import Found, Objects
from .boxes import greedy_match, of_one_class, overlaps
from .curves import curves

KINDS = ('classification', 'localisation', 'both', 'duplicate', 'background', 'missed')
CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND, MISSED = range(6)
RIGHT, UNCOUNTED = -1, -2


@dataclass(frozen=True)
class ErrorReport:
    """The errors of a detector on a data set.

    Attributes:
        kind: (N, ) int64 of each detection: a position in :data:`KINDS`, or :data:`RIGHT`, or
            :data:`UNCOUNTED` for one that lies on a difficult object or crowd.
        missed: (M, ) bool of each object: not found, and no other error explains why.
        counts: (C, 6) errors by class and kind; of a detection's class, for 'missed' of the object's.
        ap: Mean AP at the threshold, over classes that have objects.
        gain: (6, ) how much ``ap`` would rise without the errors of one kind.
        gain_false_positives, gain_false_negatives: How much it would rise without any wrong
            detection, and without any object that is not found.
    """

    kind: np.ndarray
    missed: np.ndarray
    counts: np.ndarray
    ap: float
    gain: np.ndarray
    gain_false_positives: float
    gain_false_negatives: float


def error_types(objects: Objects, found: Found, classes: int, threshold: float = 0.5,
                background: float = 0.1) -> ErrorReport:
    """Sort the errors of a detector into :data:`KINDS`.

    Matching is COCO's at one threshold. A detection without an object has the first that fits of:

    - localisation: an object of its class overlaps by ``background`` up to ``threshold``;
    - classification: an object of another class overlaps by ``threshold`` or more;
    - duplicate: an object of its class does, but a better detection has it;
    - background: nothing overlaps by ``background``;
    - both: something of another class overlaps by ``background`` up to ``threshold``.

    An object that nothing found is missed, unless a classification or localisation error points at it.

    A kind's gain is that of mending it and nothing else: misplaced and misnamed detections are put right
    (of several at one object the best, the others go, and all go if the object is already found); other
    wrong detections go; missed objects are not to be found. Gains do not add up to ``1 - ap``.

    Args:
        classes: Number of classes.
        threshold: IoU from which a detection has found an object.
        background: IoU below which it lies on nothing.
    """
    pairs = overlaps(objects, found)
    owner, counted, taken = greedy_match(
        objects, found, of_one_class(objects, found, pairs, threshold))
    a, b, ious = pairs
    real = ~objects.difficult[b]
    a, b, ious = a[real], b[real], ious[real]
    same = found.label[a] == objects.label[b]
    own_iou, own = _best(a[same], b[same], ious[same], len(found))
    other_iou, other = _best(a[~same], b[~same], ious[~same], len(found))

    cases = {
        LOCALISATION: (own_iou >= background) & (own_iou < threshold),
        CLASSIFICATION: other_iou >= threshold,
        DUPLICATE: own_iou >= threshold,
        BACKGROUND: np.maximum(own_iou, other_iou) < background,
    }
    kind = np.select(list(cases.values()), list(cases), BOTH)
    kind[owner >= 0] = RIGHT
    kind[~counted] = UNCOUNTED

    target = np.where(kind == LOCALISATION, own, np.where(kind == CLASSIFICATION, other, -1))
    free = ~objects.difficult & ~taken
    missed = free.copy()
    missed[target[target >= 0]] = False

    counts = np.stack([np.bincount(found.label[kind == one], minlength=classes)
                       for one in range(MISSED)]
                      + [np.bincount(objects.label[missed], minlength=classes)], axis=1)
    return _weighed(objects, found, classes, kind, target, free, missed, counts)


def _best(a: np.ndarray, b: np.ndarray, ious: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each detection the largest overlap (0 if none) and its object (-1)."""
    order = np.lexsort((b, -ious, a))
    rows, first = np.unique(a[order], return_index=True)
    best, owner = np.zeros(count), np.full(count, -1)
    best[rows], owner[rows] = ious[order[first]], b[order[first]]
    return best, owner


def _weighed(objects: Objects, found: Found, classes: int, kind: np.ndarray, target: np.ndarray,
             free: np.ndarray, missed: np.ndarray, counts: np.ndarray) -> ErrorReport:
    positives = np.bincount(objects.label[~objects.difficult], minlength=classes)
    there = positives > 0

    def mean(keep: np.ndarray, label: np.ndarray = found.label, right: np.ndarray = kind == RIGHT,
             wanted: np.ndarray = positives) -> float:
        aps = np.array([one.ap for one in curves(label[keep], found.scores[keep], right[keep], wanted)])
        # a class whose objects need not be found any more has nothing wrong with it
        return float(np.where(np.isnan(aps), 1.0, aps)[there].mean()) if there.any() else float('nan')

    everything = kind != UNCOUNTED
    ap = mean(everything)
    gain = np.zeros(len(KINDS))
    for one in (CLASSIFICATION, LOCALISATION):
        rows = np.flatnonzero((kind == one) & (target >= 0))
        rows = rows[free[target[rows]]]
        rows = rows[np.argsort(-found.scores[rows], kind='stable')]
        mended = rows[np.unique(target[rows], return_index=True)[1]]
        keep, label, right = everything & (kind != one), found.label.copy(), kind == RIGHT
        keep[mended], right[mended], label[mended] = True, True, objects.label[target[mended]]
        gain[one] = mean(keep, label, right) - ap
    for one in (BOTH, DUPLICATE, BACKGROUND):
        gain[one] = mean(everything & (kind != one)) - ap
    gain[MISSED] = mean(everything, wanted=positives - counts[:, MISSED]) - ap
    not_found = np.bincount(objects.label[free], minlength=classes)
    return ErrorReport(
        kind=kind, missed=missed, counts=counts, ap=ap, gain=gain,
        gain_false_positives=mean(kind == RIGHT) - ap,
        gain_false_negatives=mean(everything, wanted=positives - not_found) - ap)

"""The definition of PRAE (configs/prae/README.md), one detection after the other."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from mmext.evaluation.rotated.matching import Objects
from mmext.models.ensemble import Detections, PRAECalibrator
from mmext.ops.pnms import box_areas, overlaps, suppress_reference


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float(overlaps(one[None], other[None])[0])


def rewards(found: Detections, objects: Objects, thresholds: tuple[float, ...], assign: str
            ) -> tuple[np.ndarray, np.ndarray]:
    value, counts = np.zeros(len(found)), np.ones(len(found), bool)
    candidates = []
    for row in range(len(found)):
        near = np.flatnonzero((objects.image == found.image[row]) & (objects.label == found.label[row]))
        ious = {int(at): iou(found.boxes[row], objects.boxes[at]) for at in near}
        best = max((one for at, one in ious.items() if not objects.difficult[at]), default=0.)
        ignored = max((one for at, one in ious.items() if objects.difficult[at]), default=0.)
        counts[row] = not (ignored > best and ignored >= min(thresholds))
        value[row] = np.mean([best >= t for t in thresholds])
        candidates.append({at: one for at, one in ious.items() if not objects.difficult[at]})
    if assign == 'independent':
        return value, counts
    value[:] = 0
    for threshold in thresholds:
        taken = set()
        for row in np.argsort(-found.scores, kind='stable').tolist():
            if not counts[row]:
                continue
            free = {at: one for at, one in candidates[row].items()
                    if (found.detector[row], at) not in taken and one >= threshold and one > 0}
            if free:
                taken.add((found.detector[row], max(free, key=lambda at: free[at])))
                value[row] += 1 / len(thresholds)
    return value, counts


def cells(calibrator: PRAECalibrator, found: Detections) -> list[tuple[int, int, int, int]]:
    areas, bins = box_areas(found.boxes), calibrator.num_bins
    return [(int(found.detector[row]), int(found.label[row]),
             sum(edge <= areas[row] for edge in calibrator.area_edges),
             min(math.floor(found.scores[row] * bins), bins - 1)) for row in range(len(found))]


def value(calibrator: PRAECalibrator, count: np.ndarray, reward: np.ndarray, cell: tuple[int, ...]) -> float:
    m, c, a, b = cell
    for n, r in ((count[m, c, a], reward[m, c, a]), (count[m, c].sum(0), reward[m, c].sum(0)),
                 (count[m].sum((0, 1)), reward[m].sum((0, 1)))):
        if n[b] < calibrator.min_count:
            continue
        p, alpha = r[b] / n[b], calibrator.alpha
        if calibrator.bandit == 'wilson':
            spread = alpha * math.sqrt(p * (1 - p) / n[b] + alpha**2 / (4 * n[b]**2))
            p = (p + alpha**2 / (2 * n[b]) - spread) / (1 + alpha**2 / n[b])
        elif calibrator.bandit in ('ucb', 'lcb'):
            bonus = alpha * math.sqrt(2 * math.log(max(n.sum(), 1)) / n[b])
            p += bonus if calibrator.bandit == 'ucb' else -bonus
        return min(max(p, 0.), 1.)
    return (b + 0.5) / calibrator.num_bins


def rising(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Isotonic regression by its min-max formula."""
    size = len(values)

    def mean(low: int, high: int) -> float:
        return float(np.average(values[low:high + 1], weights=weights[low:high + 1]))

    return np.array([max(min(mean(low, high) for high in range(at, size)) for low in range(at + 1))
                     for at in range(size)])


def refined(calibrator: PRAECalibrator, table: np.ndarray, found: Detections) -> np.ndarray:
    result, bins = [], calibrator.num_bins
    for row, (m, c, a, b) in enumerate(cells(calibrator, found)):
        score, curve = found.scores[row], table[m, c, a]
        place = score * bins - 0.5
        if not calibrator.interpolate:
            y = curve[b]
        elif place <= 0:
            y = curve[0]
        elif place >= bins - 1:
            y = curve[-1]
        else:
            low = math.floor(place)
            y = (1 - place + low) * curve[low] + (place - low) * curve[low + 1]
        result.append((1 - calibrator.keep_raw) * y + calibrator.keep_raw * score)
    return np.array(result)


def p_nms(found: Detections, scores: np.ndarray, iou_threshold: float) -> list[int]:
    kept: list[int] = []
    for image in np.unique(found.image).tolist():
        rows = [row for row in range(len(found)) if found.image[row] == image]
        rows.sort(key=lambda row: (-scores[row], -found.scores[row], row))
        owner = suppress_reference(found.boxes[rows], found.label[rows], iou_threshold)
        kept += [row for at, row in enumerate(rows) if owner[at] == at]
    return kept


def fitted(settings: dict[str, Any], found: Detections, objects: Objects, shape: tuple[int, ...]
           ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts, rewards and table."""
    calibrator = PRAECalibrator(**settings)
    worth, counts = rewards(found, objects, calibrator.iou_thrs, calibrator.assign)
    count, reward = np.zeros(shape), np.zeros(shape)
    for row, cell in enumerate(cells(calibrator, found)):
        if counts[row]:
            count[cell] += 1
            reward[cell] += worth[row]
    table = np.array([value(calibrator, count, reward, cell) for cell in np.ndindex(*shape)]).reshape(shape)
    if calibrator.monotone:
        for cell in np.ndindex(*shape[:3]):
            table[cell] = rising(table[cell], np.maximum(count[cell], 1))
    return count, reward, table

"""What a detector's errors are, as one HTML page: kinds, classes, curves, confusion."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..evaluation.analysis import KINDS, Curve, ErrorReport
from .rendering import render

_MOST_CLASSES = 40  # a larger matrix fits on no screen; the commonest confusions are listed anyway
_LISTED = 12
_RECALLS = np.linspace(0, 1, 101)
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 560., 300., 44., 10., 40.


def analysis_text(title: str, report: ErrorReport, curves: Sequence[Curve], confusion: np.ndarray,
                  names: Sequence[str], threshold: float) -> str:
    """The page, without any file beside it.

    Args:
        title: Of the run.
        report: The errors.
        curves: Of each class.
        confusion: (C + 1, C + 1), see :func:`mmext.evaluation.analysis.box_confusion`.
        names: Of the C classes.
        threshold: IoU from which a detection has found an object.
    """
    largest = max(float(report.gain.max(initial=0)), 1e-9)
    kinds = [dict(name=kind, count=int(count), gain=100 * float(gain), share=100 * float(gain) / largest)
             for kind, count, gain in zip(KINDS, report.counts.sum(0), report.gain)]
    classes = [dict(name=name, objects=curve.objects, found=len(curve.scores),
                    recall=100 * float(curve.recall[-1]) if len(curve.recall) else 0.,
                    ap=100 * curve.ap if curve.objects else None, counts=counts.tolist())
               for name, curve, counts in zip(names, curves, report.counts)]
    return render('analysis.html.j2', title=title, report=report, kinds=kinds, classes=classes,
                  threshold=threshold, lines=_lines(curves, names), points=_points(curves, names),
                  confusion=_confusion(confusion, names), confused=_confused(confusion, names),
                  names=[*names, 'nothing'],
                  frame=dict(width=_WIDTH, height=_HEIGHT, left=_LEFT, top=_TOP, bottom=_HEIGHT - _BOTTOM))


def _place(x: float, y: float) -> tuple[float, float]:
    """Of x and y from 0 to 1 in the plot."""
    return (round(_LEFT + x * (_WIDTH - _LEFT - 10), 1),
            round(_TOP + (1 - y) * (_HEIGHT - _TOP - _BOTTOM), 1))


def envelope(curve: Curve) -> np.ndarray:
    """(101, ) the largest precision at each recall 0, 0.01 .. 1 or beyond; COCO's AP is its mean."""
    best = np.maximum.accumulate(curve.precision[::-1])[::-1]
    at = np.searchsorted(curve.recall, _RECALLS, side='left')
    return np.where(at < len(best), np.append(best, 0.)[np.minimum(at, len(best))], 0.)


def _lines(curves: Sequence[Curve], names: Sequence[str]) -> list[dict[str, Any]]:
    """A polyline of each class that has objects, the mean of all last."""
    there = [(name, envelope(curve), curve.ap) for name, curve in zip(names, curves) if curve.objects]
    if not there:
        return []
    everything = np.mean([values for _, values, _ in there], axis=0)
    there.append(('mean of all classes', everything, float(everything.mean())))
    return [dict(name=name, ap=100 * ap, mean=number == len(there) - 1,
                 points=' '.join('{},{}'.format(*_place(x, y)) for x, y in zip(_RECALLS, values)))
            for number, (name, values, ap) in enumerate(there)]


def _points(curves: Sequence[Curve], names: Sequence[str]) -> dict[str, Any]:
    """AP against the number of objects, on a logarithmic axis."""
    there = [(name, one) for name, one in zip(names, curves) if one.objects]
    if not there:
        return dict(dots=[], ticks=[])
    low, high = (np.log10(end([one.objects for _, one in there])) for end in (min, max))
    low, high = np.floor(low), max(np.ceil(high), np.floor(low) + 1)
    dots = []
    for name, one in there:
        x, y = _place(float((np.log10(one.objects) - low) / (high - low)), one.ap)
        dots.append(dict(name=name, x=x, y=y, objects=one.objects, ap=100 * one.ap))
    ticks = [dict(x=_place(float((power - low) / (high - low)), 0)[0], text=f'{10**int(power):,}')
             for power in np.arange(low, high + 1)]
    return dict(dots=dots, ticks=ticks)


def _confusion(matrix: np.ndarray, names: Sequence[str]) -> list[list[dict[str, Any]]]:
    """Cells with the share of their row; none if there are too many."""
    if len(names) > _MOST_CLASSES:
        return []
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    return [[dict(count=int(count), share=round(100 * float(share)), right=row == column and row < len(names))
             for column, (count, share) in enumerate(zip(*pair))]
            for row, pair in enumerate(zip(matrix, shares))]


def _confused(matrix: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """The commonest confusions between two classes."""
    counts = matrix[:-1, :-1] * (1 - np.eye(len(names), dtype=np.int64))
    order = np.argsort(-counts, axis=None, kind='stable')[:_LISTED]
    found = [(*divmod(int(one), max(len(names), 1)), int(counts.flat[one])) for one in order]
    return [dict(true=names[true], detected=names[detected], count=count)
            for true, detected, count in found if count]

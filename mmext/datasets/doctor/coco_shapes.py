"""Boxes and segmentations of COCO annotations."""
from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .finding import MAX_EXAMPLES, Example, Finding, counted

_SLACK = 1.0  # pixels: annotators count from 0 or from 1


@dataclass(frozen=True)
class Annotated:
    """An annotation with its place in the file and its image."""

    index: int
    annotation: Mapping[str, Any]
    image: Mapping[str, Any]
    path: str

    @property
    def place(self) -> str:
        """Image and annotation in words."""
        name = self.annotation.get('id', f'number {self.index}')
        return f"{self.image['file_name']}, annotation {name}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _large(value: Any) -> float:
    """``value`` as a float; whole numbers beyond any float are infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def check_boxes(annotated: Sequence[Annotated]) -> Iterator[Finding]:
    """Boxes ``x, y, width, height`` that are none, are dropped by the host, or reach outside."""
    shaped = [one for one in annotated if _is_box(one.annotation['bbox'])
              and _is_number(one.annotation['area'])]
    wrong = [one for one in annotated if not _is_box(one.annotation['bbox'])]
    flat = [one for one in annotated if not _is_number(one.annotation['area'])]
    total = len(annotated)
    yield from _finding('box-shape', wrong, f'{counted(len(wrong), "bbox|bboxes", total)} '
                        'not four numbers (x, y, width, height)')
    yield from _finding('area-shape', flat, f'{counted(len(flat), "area", total)} not a number')
    if not shaped:
        return
    boxes = np.array([[_large(value) for value in one.annotation['bbox']] for one in shaped])
    areas = np.array([_large(one.annotation['area']) for one in shaped])
    sizes = np.array([[_large(one.image['width']), _large(one.image['height'])] for one in shaped])
    finite = np.isfinite(boxes).all(1) & np.isfinite(areas)
    yield from _select('box-nan', shaped, ~finite, 'NaN or infinite')
    boxes = np.where(finite[:, None], boxes, 1.0)
    with np.errstate(over='ignore', invalid='ignore'):
        start, end = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
        small = finite & ((boxes[:, 2:] < 1).any(1) | (areas <= 0))
        away = finite & ~small & ((np.minimum(end, sizes) - np.maximum(start, 0)) <= 0).any(1)
        outside = finite & ~small & ~away & \
            ((start < -_SLACK) | (end > sizes + _SLACK)).any(1)
    dropped = small | away
    fraction = (dropped | outside).mean()
    hint = 'are they x1, y1, x2, y2? COCO has x, y, width, height' if fraction > 0.3 else ''
    severity = 'error' if fraction > 0.5 else 'warning'
    yield from _select('box-small', shaped, small, 'of zero or negative size; the host drops them',
                       severity, hint)
    yield from _select('box-away', shaped, away, 'wholly outside the image; the host drops them',
                       severity, hint)
    yield from _select('box-outside', shaped, outside, 'reaching outside the image', severity, hint)


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))


def _select(kind: str, annotated: Sequence[Annotated], where: np.ndarray, what: str,
            severity: str = 'error', suggestion: str = '') -> Iterator[Finding]:
    chosen = [annotated[index] for index in np.flatnonzero(where)]
    yield from _finding(kind, chosen, f'{counted(len(chosen), "box|boxes", len(annotated))} {what}',
                        severity, suggestion)


def _finding(kind: str, chosen: Sequence[Annotated], message: str, severity: str = 'error',
             suggestion: str = '') -> Iterator[Finding]:
    if chosen:
        examples = tuple(Example(one.place, one.path, _corners(one.annotation['bbox']))
                         for one in chosen[:MAX_EXAMPLES])
        yield Finding(kind, message, severity, len(chosen), suggestion, examples)


def _corners(box: Any) -> tuple[tuple[float, ...], ...]:
    """The box to draw; none where there is no drawing it."""
    if not _is_box(box):
        return ()
    x, y, w, h = map(_large, box)
    corners = (x, y, x + w, y, x + w, y + h, x, y + h)
    return (corners, ) if all(map(math.isfinite, corners)) else ()


# -------------------------------------------------------------------------------- segmentations


def check_segments(annotated: Sequence[Annotated]) -> Iterator[Finding]:
    """Polygons and run-length masks that the host drops or fails on."""
    faults: dict[str, list[Annotated]] = {}
    for one in annotated:
        fault = _segment_fault(one.annotation.get('segmentation'), one.image)
        if fault:
            faults.setdefault(fault, []).append(one)
    total = len(annotated)
    messages = {
        'none': ('without a segmentation, while the pipeline loads masks; they are ignored', 'warning'),
        'short': ('with a polygon of fewer than three points, or of an odd number of values; the host '
                  'drops them', 'warning'),
        'numbers': ('with a polygon that holds something else than finite numbers', 'error'),
        'kind': ('whose segmentation is neither polygons nor a run-length mask', 'error'),
        'size': ('with a mask of another size than the image', 'error'),
    }
    for fault, chosen in faults.items():
        what, severity = messages[fault]
        if fault == 'none' and len(chosen) == total:
            severity = 'error'
        yield from _finding(f'segment-{fault}', chosen,
                            f'{counted(len(chosen), "annotation", total)} {what}', severity)


def _segment_fault(segments: Any, image: Mapping[str, Any]) -> str:
    if isinstance(segments, dict):
        size = segments.get('size')
        if not isinstance(size, list) or 'counts' not in segments:
            return 'kind'
        return '' if size == [image['height'], image['width']] else 'size'
    if segments is None or segments == []:
        return 'none'
    if not isinstance(segments, list) or not all(isinstance(one, list) for one in segments):
        return 'kind'
    for polygon in segments:
        if not all(_is_number(value) and math.isfinite(_large(value)) for value in polygon):
            return 'numbers'
        if len(polygon) < 6 or len(polygon) % 2:
            return 'short'
    return ''

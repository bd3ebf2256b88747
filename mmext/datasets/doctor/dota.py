"""DOTA label files as ``mmrotate.DOTADataset`` reads them: eight corners, class, difficulty."""
from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import nearest
from .finding import MAX_EXAMPLES, Example, Finding, counted, quoted
from .headers import Header
from .images import check_images
from .scan import Scan

_HEADERS = ('imagesource:', 'gsd:')
_SLACK = 0.1  # share of a quadrilateral's own size that may lie outside: DOTA's tiles cut objects


@dataclass
class _Labels:
    """What the label files hold.

    ``quads`` has one row of corners per object, ``owners`` its (file, line, class).
    """

    quads: list[list[float]] = field(default_factory=list)
    owners: list[tuple[str, int, str]] = field(default_factory=list)
    faults: dict[str, list[tuple[str, int, str]]] = field(default_factory=dict)
    headed: list[str] = field(default_factory=list)
    bare: int = 0

    def fault(self, kind: str, file: str, line: int, text: str) -> None:
        self.faults.setdefault(kind, []).append((file, line, text))


def examine_dota(dataset: Any, scan: Scan, summary: dict[str, int], train: bool,
                 reads_headers: bool) -> Iterator[Finding]:
    """Check a folder of label files and the headers of their images.

    Args:
        dataset: The host's dataset object, nothing loaded yet.
        scan: Reads and remembers.
        summary: Filled with what was looked at.
        train: Whether the dataset is trained on.
        reads_headers: Whether the dataset's reader skips the two header lines of published files.
    """
    images = dataset.data_prefix.get('img_path', '')
    folder, suffix = dataset.ann_file, f'.{dataset.img_suffix}'
    present = _listing(images, suffix)
    scan.watch(images)
    if not folder:
        if train:
            yield Finding('no-annotations', 'has no ann_file: there is nothing to learn')
        summary.update(images=len(present))
        yield from check_images(scan, [os.path.join(images, name) for name in present], {})
        return
    scan.watch(folder)
    files = _listing(folder, '.txt')
    if not files:
        yield Finding('no-labels', f"the folder '{folder}' has no label files (.txt)")
        return
    scan.watch(*(os.path.join(folder, name) for name in files))
    labels = _Labels()
    for name in files:
        read_labels(os.path.join(folder, name), labels)
    summary.update(images=len(files), objects=len(labels.quads))
    paths = {os.path.join(folder, name): os.path.join(images, name[:-4] + suffix) for name in files}
    yield from _line_findings(labels, reads_headers)
    yield from _check_classes(labels, dataset.metainfo.get('classes'), train)
    yield from check_images(scan, list(paths.values()), {})
    yield from _check_quads(labels, paths, scan.headers(paths.values()))
    unlabelled = sorted(set(present) - {name[:-4] + suffix for name in files})
    if unlabelled:
        yield Finding('unlabelled', f'{counted(len(unlabelled), "image")} of \'{images}\' without a '
                      f'label file, not used: {quoted(unlabelled, 3)}', 'warning', len(unlabelled))
    if labels.bare:
        yield Finding('labels-empty', f'{counted(labels.bare, "label file", len(files))} without an '
                      'object', 'warning', labels.bare)


def _listing(folder: str, suffix: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(suffix))
    except OSError:
        return []


def read_labels(file: str, labels: _Labels) -> None:
    """Add the objects and faults of one label file to ``labels``."""
    try:
        with open(file, encoding='utf-8') as stream:
            lines = stream.read().split('\n')
    except (OSError, UnicodeDecodeError):
        labels.fault('unreadable', file, 0, '')
        return
    found = False
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            if number < len(lines):
                labels.fault('blank', file, number, '')
        elif words[0].lower().startswith(_HEADERS):
            if number <= 2:
                labels.headed.append(file)
            else:
                labels.fault('fields', file, number, line)
        else:
            found = True
            _read_object(file, number, words, labels)
    labels.bare += not found


def _read_object(file: str, number: int, words: Sequence[str], labels: _Labels) -> None:
    values = [_number(word) for word in words[:8]]
    if len(words) < 9 and sum(value is not None for value in values) == 5:
        labels.fault('rotated', file, number, ' '.join(words))
    elif len(words) < 10:
        labels.fault('fields', file, number, ' '.join(words))
    elif any(value is None for value in values):
        labels.fault('numbers', file, number, ' '.join(words))
    elif not words[9].lstrip('+-').isdigit():
        labels.fault('difficulty', file, number, words[9])
    else:
        quad = [value for value in values if value is not None]
        if all(map(math.isfinite, quad)):
            labels.quads.append(quad)
            labels.owners.append((file, number, words[8]))
        else:
            labels.fault('nan', file, number, ' '.join(words[:8]))


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


_LINE_FAULTS = {
    'unreadable': ('label file|label files', 'not readable as text', 'error', ''),
    'fields': ('line|lines', 'without the ten fields x1 y1 x2 y2 x3 y3 x4 y4 class difficulty', 'error',
               ''),
    'blank': ('line|lines', 'blank, which the host does not read', 'error', 'remove them'),
    'numbers': ('line|lines', 'with a corner that is not a number', 'error', ''),
    'nan': ('line|lines', 'with a corner that is NaN or infinite', 'error', ''),
    'difficulty': ('line|lines', 'whose difficulty is not a whole number', 'error', ''),
}


def _line_findings(labels: _Labels, reads_headers: bool) -> Iterator[Finding]:
    for kind, places in labels.faults.items():
        if kind == 'blank' and reads_headers:
            continue
        if kind == 'rotated':
            yield _rotated(places)
            continue
        what, words, severity, fix = _LINE_FAULTS[kind]
        yield Finding(f'label-{kind}', f'{counted(len(places), what)} {words}', severity, len(places),
                      fix, _examples(places))
    files = list(dict.fromkeys(labels.headed))
    if files and not reads_headers:
        yield Finding('label-headers', f'{counted(len(files), "label file")} with header lines '
                      '(imagesource, gsd), which mmrotate.DOTADataset does not read',
                      count=len(files), suggestion="write type='mmext.RawDOTADataset', or cut the "
                      "data with mmrotate's img_split.py",
                      examples=tuple(Example(file) for file in files[:MAX_EXAMPLES]))


def _rotated(places: Sequence[tuple[str, int, str]]) -> Finding:
    """Lines of centre, size and angle; the angle tells which unit it is in."""
    angles = []
    for _, _, text in places:
        numbers = [value for value in map(_number, text.split()) if value is not None]
        angles.append(abs(numbers[4]))
    largest = max(angles)
    unit = 'degrees' if largest > 2 * math.pi else 'radians'
    return Finding('label-rotated', f'{counted(len(places), "line")} of the form x y width height angle '
                   f'(angles up to {largest:g}, so in {unit}); DOTA has eight corners', count=len(places),
                   suggestion='write the four corners', examples=_examples(places))


def _examples(places: Sequence[tuple[str, int, str]]) -> tuple[Example, ...]:
    return tuple(Example(f'{file}, line {line}' if line else file)
                 for file, line, _ in places[:MAX_EXAMPLES])


def _check_classes(labels: _Labels, classes: Any, train: bool) -> Iterator[Finding]:
    amounts = Counter(name for _, _, name in labels.owners)
    for name, count in amounts.items():
        if classes and name not in classes:
            near = nearest(name, classes, 1)
            places = [owner for owner in labels.owners if owner[2] == name][:MAX_EXAMPLES]
            yield Finding('class-unknown', f"{counted(count, 'object')} of class '{name}', which the "
                          'metainfo does not have', count=count,
                          suggestion=f"did you mean '{near[0]}'?" if near else
                          'add it to metainfo, or remove the lines', examples=_examples(places))
    empty = [name for name in classes or () if not amounts[name]]
    if empty and amounts:
        yield Finding('class-empty', f'{counted(len(empty), "class|classes")} without one object: '
                      f'{quoted(empty)}', 'warning', len(empty))
    if train and not amounts and not labels.faults:
        yield Finding('no-annotations', 'the label files have no objects: there is nothing to learn')


# ------------------------------------------------------------------------------- quadrilaterals


def _check_quads(labels: _Labels, paths: Mapping[str, str],
                 headers: Mapping[str, Header]) -> Iterator[Finding]:
    if not labels.quads:
        return
    quads = np.array(labels.quads).reshape(-1, 4, 2)
    sizes = np.array([headers[paths[file]].shown for file, _, _ in labels.owners], dtype=float)
    with np.errstate(over='ignore', invalid='ignore'):
        edges = np.roll(quads, -1, axis=1) - quads
        area = np.abs(_cross(quads, np.roll(quads, -1, axis=1)).sum(1)) / 2
        short = (np.hypot(edges[..., 0], edges[..., 1]) < 1e-6).any(1)
        bow = _crossing(quads)
        flat = ~bow & (~(area >= 1.0) | short)
        low, high = quads.min(1), quads.max(1)
        slack = np.maximum(2.0, _SLACK * (high - low))
        known = (sizes > 0).all(1)
        away = known & ((low >= sizes) | (high <= 0)).any(1)
        outside = known & ~away & ((low < -slack) | (high > sizes + slack)).any(1)
    checks = (
        ('quad-flat', flat, 'degenerate: corners that coincide or lie on one line', 'warning'),
        ('quad-crossing', bow, 'crossing themselves: their corners are not in order round the object',
         'warning'),
        ('quad-away', away, 'wholly outside the image', 'warning'),
        ('quad-outside', outside, 'reaching far outside the image', 'warning'),
    )
    for kind, where, words, severity in checks:
        chosen = np.flatnonzero(where)
        if len(chosen):
            many = len(chosen) > len(quads) / 2
            examples = tuple(
                Example(f'{file}, line {line}', paths[file], (tuple(labels.quads[index]), ))
                for index in chosen[:MAX_EXAMPLES] for file, line, _ in [labels.owners[index]])
            yield Finding(kind, f'{counted(len(chosen), "quadrilateral", len(quads))} {words}',
                          'error' if many else severity, len(chosen), examples=examples)


def _cross(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return left[..., 0] * right[..., 1] - left[..., 1] * right[..., 0]


def _crossing(quads: np.ndarray) -> np.ndarray:
    """Whether opposite edges of each quadrilateral properly intersect, shape (n,)."""
    def separate(a: np.ndarray, b: np.ndarray, p: np.ndarray, q: np.ndarray) -> np.ndarray:
        return _cross(b - a, p - a) * _cross(b - a, q - a) < 0

    a, b, c, d = (quads[:, corner] for corner in range(4))
    return (separate(a, b, c, d) & separate(c, d, a, b)) | (separate(b, c, d, a) & separate(d, a, b, c))

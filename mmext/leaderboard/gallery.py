"""The best and the worst images of an evaluation, found on the way and drawn at its end."""
from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .budget import Budget
from .quality import Judged, Objects, judge
from .record import Picture

#: Part of the time budget that goes into choosing; the rest is for drawing and the page.
CHOOSING = 0.5
_SHORT, _LONG = 300, 460  # pixels: sides that a panel is enlarged and shrunk to
_GAP = 6


class Gallery:
    """Keeps the images to show.

    Args:
        budget: Time that may be spent.
        classes: Names of the classes.
        palette: RGB of each class.
        best, worst: How many of each kind are kept.

    Attributes:
        seen, judged: Images that came by, and those that there was time to judge.
    """

    def __init__(self, budget: Budget, classes: Sequence[str], palette: Sequence[Sequence[int]],
                 best: int = 4, worst: int = 8) -> None:
        self.budget, self.classes, self.palette = budget, classes, palette
        self.best, self.worst = best, worst
        self.seen = self.judged = 0
        self._order = itertools.count()
        self._best: list[tuple[float, int, Judged]] = []
        self._worst: list[tuple[float, int, Judged]] = []

    def add(self, samples: Iterable[Any]) -> None:
        """Judge data samples as far as there is time; the first image always."""
        for sample in samples:
            self.seen += 1
            if self.judged and self.budget.left(CHOOSING) <= 0:
                continue
            with self.budget.spending():
                one = judge(sample, len(self.classes))
                if one is None or not one.path:
                    continue
                self.judged += 1
                # without truth all are alike, and the first ones are kept
                score, order = (0. if one.score is None else one.score), next(self._order)
                _keep(self._best, (score, -order, one), self.best)
                _keep(self._worst, (-score, -order, one), self.worst)

    def pictures(self) -> Iterator[Picture]:
        """Drawn pictures, the worst and the best in turn, while there is time."""
        worst = [entry[2] for entry in sorted(self._worst, reverse=True, key=lambda entry: entry[:2])]
        shown = {id(one) for one in worst}
        best = [entry[2] for entry in sorted(self._best, reverse=True, key=lambda entry: entry[:2])
                if id(entry[2]) not in shown]
        longest = 0.
        for one, is_best in _in_turn(worst, best):
            if self.budget.left() < 1.5 * longest or self.budget.left() <= 0:
                return
            before = self.budget.spent
            with self.budget.spending():
                jpeg = draw(one, self.classes, self.palette)
            longest = max(longest, self.budget.spent - before)
            if jpeg:
                yield Picture(Path(one.path).name, -1. if one.score is None else round(one.score, 4),
                              is_best, jpeg)


def _keep(heap: list, entry: tuple[float, int, Judged], limit: int) -> None:
    """Keep the ``limit`` largest entries."""
    if len(heap) < limit:
        heapq.heappush(heap, entry)
    elif entry[:2] > heap[0][:2]:
        heapq.heapreplace(heap, entry)


def _in_turn(worst: Sequence[Judged], best: Sequence[Judged]) -> Iterator[tuple[Judged, bool]]:
    for bad, good in itertools.zip_longest(worst, best):
        if bad is not None:
            yield bad, False
        if good is not None:
            yield good, True


# ---------------------------------------------------------------------------------------- drawing


def draw(one: Judged, classes: Sequence[str], palette: Sequence[Sequence[int]]) -> bytes:
    """Truth (left) beside prediction (right) as a JPEG; empty if the image cannot be read.

    Without truth there is one panel.
    """
    contents = [(one.found, one.found_score)]
    if one.truth is not None:
        contents.insert(0, (one.truth, None))
    return draw_panels(one.path, contents, classes, palette)


def draw_panels(path: str, contents: Sequence[tuple[Any, float | None]], classes: Sequence[str],
                palette: Sequence[Sequence[int]]) -> bytes:
    """One image several times as a JPEG; empty if it cannot be read.

    Args:
        path: Of the image.
        contents: What to draw on each, as :class:`~mmext.leaderboard.quality.Judged` has it, and the
            score of a class.
        classes: Names of the classes.
        palette: RGB of each class.
    """
    import cv2
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        return b''
    sides = image.shape[:2]
    scale = min(max(1., _SHORT / min(sides)), _LONG / max(sides))
    size = (max(1, round(sides[1] * scale)), max(1, round(sides[0] * scale)))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    panels = []
    for content, score in contents:
        panels.append(_panel(image.copy(), content, scale, score, classes, palette))
        panels.append(np.full((image.shape[0], _GAP, 3), 255, np.uint8))
    encoded, data = cv2.imencode('.jpg', np.concatenate(panels[:-1], 1), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return data.tobytes() if encoded else b''


def _colour(label: int, palette: Sequence[Sequence[int]]) -> tuple[int, int, int]:
    red, green, blue = palette[label] if 0 <= label < len(palette) else (255, 255, 255)
    return int(blue), int(green), int(red)


def _name(label: int, classes: Sequence[str]) -> str:
    return classes[label] if 0 <= label < len(classes) else f'class {label}'


def _panel(image: np.ndarray, content: Any, scale: float, score: float | None, classes: Sequence[str],
           palette: Sequence[Sequence[int]]) -> np.ndarray:
    import cv2
    if isinstance(content, Objects):
        scores = content.scores if content.scores is not None else [None] * len(content.labels)
        taken: list[tuple[int, int, int, int]] = []
        # the surest on top
        for polygon, label, sure in list(zip(content.polygons * scale, content.labels, scores))[::-1]:
            points = np.round(polygon).astype(np.int32)
            cv2.polylines(image, [points], True, _colour(int(label), palette), 2, cv2.LINE_AA)
            text = _name(int(label), classes) + ('' if sure is None else f' {sure:.2f}')
            top = points[points[:, 1].argmin()]
            _write(image, text, int(points[:, 0].min()), int(top[1]), _colour(int(label), palette), taken)
    elif isinstance(content, np.ndarray):
        lut = np.zeros((256, 3), np.uint8)
        for label in range(min(len(palette), 256)):
            lut[label] = _colour(label, palette)
        small = cv2.resize(np.clip(content, 0, 255).astype(np.uint8), image.shape[1::-1],
                           interpolation=cv2.INTER_NEAREST)
        known = (small < len(palette))[..., None]
        image = np.where(known, (0.4 * image + 0.6 * lut[small]).astype(np.uint8), image)
    elif content is not None:
        text = _name(int(content), classes) + ('' if score is None else f' {score:.2f}')
        _write(image, text, 2, 18, _colour(int(content), palette), [])
    return image


def _write(image: np.ndarray, text: str, x: int, y: int, colour: tuple[int, int, int],
           taken: list[tuple[int, int, int, int]]) -> None:
    """Text on a patch of ``colour`` that ends at y, inside the image and off other texts."""
    import cv2
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
    width, height = width + 4, height + 6
    x = max(0, min(x, image.shape[1] - width))
    y = max(height, min(y, image.shape[0]))
    for x0, y0, x1, y1 in taken:
        if x < x1 and x + width > x0 and y - height < y1 and y > y0:
            y = min(image.shape[0], y1 + height)
    taken.append((x, y - height, x + width, y))
    cv2.rectangle(image, (x, y - height), (x + width, y), colour, -1)
    blue, green, red = colour
    ink = 0 if 0.11 * blue + 0.59 * green + 0.3 * red > 140 else 255
    cv2.putText(image, text, (x + 2, y - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (ink, ) * 3, 1, cv2.LINE_AA)

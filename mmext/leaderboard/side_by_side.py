"""Pictures of two detectors' answers beside the truth, where the two differ most."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError
from ..evaluation.analysis import read_boxes
from .gallery import draw_panels
from .quality import MOST, SCORE_THRESHOLD, Objects, f_measure, polygons
from .rendering import render


@dataclass(frozen=True)
class Pair:
    """An image with its truth and two answers.

    Attributes:
        path: Of the image.
        truth, one, other: What is there and what was found.
        scores: F-measure of the first and of the second answer.
    """

    path: str
    truth: Objects
    one: Objects
    other: Objects
    scores: tuple[float, float]

    @property
    def gain(self) -> float:
        """By how much the second answer is better."""
        return self.scores[1] - self.scores[0]


def pairs(dataset: Any, one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> list[Pair]:
    """Every image with two answers, those where the second gains most first.

    Args:
        dataset: As :func:`mmext.evaluation.analysis.read_boxes` takes it.
        one, other: Predictions of the two runs.

    Raises:
        UserError: If predictions are of other images or classes, or the two of different images.
    """
    images = [{record['img_id'] for record in answer} for answer in (one, other)]
    if images[0] != images[1]:
        raise UserError('the two runs have predictions of different images: '
                        f'{len(images[0] - images[1])} only the first, {len(images[1] - images[0])} only '
                        'the second')
    columns = [read_boxes(dataset, answer) for answer in (one, other)]
    truth = columns[0][0]
    made = []
    for image in range(len(dataset)):
        info = dataset.get_data_info(image)
        if info['img_id'] not in images[0]:
            continue
        rows = np.flatnonzero((truth.image == image) & ~truth.difficult)
        real = Objects(polygons(truth.boxes[rows]), truth.label[rows])
        first, second = (_answer(found, image) for _, found in columns)
        made.append(Pair(info['img_path'], real, first, second,
                         (f_measure(real, first), f_measure(real, second))))
    return sorted(made, key=lambda pair: -pair.gain)


def _answer(found: Any, image: int) -> Objects:
    rows = np.flatnonzero((found.image == image) & (found.scores >= SCORE_THRESHOLD))
    rows = rows[np.argsort(-found.scores[rows], kind='stable')[:MOST]]
    return Objects(polygons(found.boxes[rows]), found.label[rows], found.scores[rows])


def side_by_side_text(names: tuple[str, str], found: Sequence[Pair], classes: Sequence[str],
                      palette: Sequence[Sequence[int]], count: int) -> str:
    """The page: ``count`` images where the second run is better, and where the first is.

    Args:
        names: Of the runs.
        found: As :func:`pairs` gives them.
        classes: Names of the classes.
        palette: RGB of each class.
        count: Images of each kind; those where the runs are as good are not shown.
    """
    better = [pair for pair in found if pair.gain > 0]
    worse = [pair for pair in reversed(found) if pair.gain < 0]
    sections = [dict(title=f'{name} is better', all=len(kind), pictures=[
        dict(name=pair.path.rpartition('/')[2], scores=pair.scores, jpeg=draw_panels(
            pair.path, [(pair.truth, None), (pair.one, None), (pair.other, None)], classes, palette))
        for pair in kind[:count]]) for name, kind in ((names[1], better), (names[0], worse))]
    means = [float(np.mean([pair.scores[at] for pair in found])) if found else 0. for at in (0, 1)]
    return render('side_by_side.html.j2', names=names, sections=sections, means=means, images=len(found),
                  same=len(found) - len(better) - len(worse))

"""Sentences about a scene: counts, colours and sizes, positions.

Each caption names every class that is present and no other, with the class name verbatim or with
an ``s``, so that words can be tied to annotations.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from .classes import CLASSES, STUFF
from .scene import Scene, Thing
from .shapes import UNIT

_NUMBERS = ('no', 'one', 'two', 'three', 'four', 'five', 'six')
_ROWS, _COLUMNS = ('top', '', 'bottom'), ('left', '', 'right')


def describe(scene: Scene) -> list[str]:
    """Three captions: how many on what, which colours and sizes, which colours where."""
    ground = _listed(
        name for number, name in enumerate(STUFF, len(CLASSES)) if (scene.labels == number).any())
    singles = [thing for thing in scene.things if not thing.crowd]
    crowds = [thing for thing in scene.things if thing.crowd]
    counts = Counter(thing.name for thing in singles)
    size = len(scene.image)
    return [
        _sentence(
            _listed([*(_counted(name, count) for name, count in counts.items()),
                     *(f'a crowd of small {thing.name}s' for thing in crowds)]) + f' on {ground}'),
        _sentence(
            _listed([*(_counted(phrase, count) for phrase, count in
                       Counter(_sized(thing, size) for thing in singles).items()),
                     *(f'a crowd of small {thing.colour} {thing.name}s' for thing in crowds)])),
        _sentence(
            _listed([*(f'{_counted(f"{thing.colour} {thing.name}", 1)} {_place(thing, size)}'
                       for thing in singles),
                     *(f'a crowd of {thing.colour} {thing.name}s {_place(thing, size)}'
                       for thing in crowds)]))
    ]


def _sized(thing: Thing, size: int) -> str:
    length = thing.poses[0].a * 2 // UNIT * 128 // size
    word = 'small ' if length < 22 else 'large ' if length >= 45 else ''
    return f'{word}{thing.colour} {thing.name}'


def _place(thing: Thing, size: int) -> str:
    """Where the middle of its visible part lies on a 3 x 3 grid."""
    rows, columns = np.nonzero(thing.mask)
    row, column = (int(pixels.sum()) * 3 // (len(pixels) * size) for pixels in (rows, columns))
    where = ' '.join(word for word in (_ROWS[row], _COLUMNS[column]) if word)
    if not where:
        return 'in the centre'
    return f'{"on" if where in _COLUMNS else "at"} the {where}'


def _counted(phrase: str, count: int) -> str:
    if count > 1:
        return f'{_NUMBERS[count]} {phrase}s'
    return f'{"an" if phrase[0] in "aeiou" else "a"} {phrase}'


def _listed(phrases: Iterable[str]) -> str:
    *head, last = phrases
    return f'{", ".join(head)} and {last}' if head else last


def _sentence(text: str) -> str:
    return f'{text[0].upper()}{text[1:]}.'

"""Backgrounds: four textures, two of them on most pictures, unlabelled clutter on top."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .classes import CLASSES, STUFF
from .integers import SINE, Ints, Rng, cosine, sine, smooth_noise

#: Label of pixels that belong to no class.
VOID = -1


def _scaled(pixels: int, size: int) -> int:
    """A length given for a picture of 128 pixels."""
    return max(1, pixels * size // 128)


def _tint(tone: Ints, colour: tuple[int, int, int]) -> Ints:
    """``(H, W)`` tones around 128 as shades of a colour, ``(H, W, 3)``."""
    tone = 112 + (tone - 112 >> 1)
    glare = tone - 128 >> 2
    return np.stack([(tone * channel >> 7) + glare for channel in colour], axis=-1)


def _grass(rng: Rng, size: int) -> Ints:
    blades = smooth_noise(rng, size, _scaled(7, size), _scaled(2, size))
    patches = smooth_noise(rng, size, _scaled(24, size))
    return _tint(76 + (blades * 3 + patches * 2 + rng.bytes(size, size) >> 4), (82, 124, 60))


def _sand(rng: Rng, size: int) -> Ints:
    y, x = np.indices((size, size), dtype=np.int32)
    angle = rng.below(360)
    along = (x * cosine(angle) + y * sine(angle) >> 11) * 128 // size
    bend = smooth_noise(rng, size, _scaled(30, size)) * 2
    ripples = SINE[(along * 4 + bend) % 360] >> 10
    return _tint(118 + ripples + (rng.bytes(size, size) >> 3), (196, 172, 124))


def _water(rng: Rng, size: int) -> Ints:
    y = np.arange(size, dtype=np.int32)[:, None]
    bend = smooth_noise(rng, size, _scaled(16, size), _scaled(28, size)) * 3
    waves = SINE[(y * 128 // size * rng.between(22, 30) + bend) % 360]
    glints = np.maximum(waves - 12000, 0) >> 7
    return _tint(108 + (waves >> 11) + glints + (rng.bytes(size, size) >> 4), (66, 122, 156))


def _brick(rng: Rng, size: int) -> Ints:
    height, width = _scaled(9, size), _scaled(20, size)
    y, x = np.indices((size, size), dtype=np.int32)
    x += rng.below(width)
    row, down = np.divmod(y + rng.below(height), height)
    column, across = np.divmod(x + row % 2 * (width // 2), width)
    tones = rng.bytes(size // height + 3, size // width + 3)[row, column]
    joint = (down < _scaled(1, size)) | (across < _scaled(1, size))
    stone = _tint(96 + (tones >> 2) + (rng.bytes(size, size) >> 4), (146, 88, 72))
    mortar = _tint(112 + (rng.bytes(size, size) >> 3), (172, 162, 150))
    return np.where(joint[..., None], mortar, stone)


_PAINT: dict[str, Callable[[Rng, int], Ints]] = {
    'brick': _brick,
    'grass': _grass,
    'sand': _sand,
    'water': _water,
}


def background(rng: Rng, size: int) -> tuple[Ints, Ints]:
    """A background of one or two textures, parted by a wavering line.

    Returns:
        ``(size, size, 3)`` colours, which may leave 0..255, and ``(size, size)`` labels: indices
        into ``CLASSES + STUFF``.
    """
    first = rng.choice(STUFF)
    colours = _PAINT[first](rng, size)
    labels = np.full((size, size), len(CLASSES) + STUFF.index(first), dtype=np.int32)
    if rng.chance(80):
        second = rng.choice([name for name in STUFF if name != first])
        y, x = np.indices((size, size), dtype=np.int32) - size // 2
        angle = rng.below(360)
        waver = (smooth_noise(rng, size, _scaled(20, size)) - 128) * size // 2048
        line = (x * cosine(angle) + y * sine(angle) >> 14) + waver
        beyond = line > rng.between(-size // 4, size // 4)
        colours[beyond] = _PAINT[second](rng, size)[beyond]
        labels[beyond] = len(CLASSES) + STUFF.index(second)
    light = 218 + (smooth_noise(rng, size, _scaled(48, size)) * 76 >> 8)
    return colours * light[..., None] >> 8, labels

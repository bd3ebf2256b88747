"""Integer-only randomness, trigonometry and smooth noise: the same bits on every machine."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar('T')
Ints = npt.NDArray[np.int32]

_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def _mix(word: int) -> int:
    """SplitMix64's finaliser."""
    for shift, factor in _MIX:
        word = (word ^ (word >> shift)) * factor & _WORD
    return word ^ (word >> 31)


class Rng:
    """A counter hashed by SplitMix64, keyed by integers.

    NumPy does not promise the streams of its generators across versions; these few lines do.

    Args:
        *key: Integers that name the stream, for example ``(seed, split, image)``.
    """

    def __init__(self, *key: int) -> None:
        self._state = 0
        for part in key:
            self._state = _mix((self._state ^ (part & _WORD)) + _GOLDEN & _WORD)

    def below(self, bound: int) -> int:
        """An integer in ``[0, bound)``."""
        self._state = (self._state + _GOLDEN) & _WORD
        return (_mix(self._state) >> 32) * bound >> 32

    def between(self, low: int, high: int) -> int:
        """An integer in ``[low, high]``."""
        return low + self.below(high - low + 1)

    def chance(self, percent: int) -> bool:
        """True ``percent`` times in a hundred."""
        return self.below(100) < percent

    def choice(self, items: Sequence[T]) -> T:
        """One of ``items``."""
        return items[self.below(len(items))]

    def bytes(self, *shape: int) -> Ints:
        """An array of integers in ``[0, 256)``."""
        count = int(np.prod(shape))
        self._state = (self._state + _GOLDEN) & _WORD
        words: npt.NDArray[Any] = np.arange(1, (count + 7) // 8 + 1, dtype=np.uint64)
        words = words * np.uint64(_GOLDEN) + np.uint64(_mix(self._state))
        for shift, factor in _MIX:
            words = (words ^ (words >> np.uint64(shift))) * np.uint64(factor)
        words ^= words >> np.uint64(31)
        return words.astype('<u8').view(np.uint8)[:count].reshape(shape).astype(np.int32)


#: Sines of 0..90 degrees times 2**14.
_QUARTER = (
    0, 286, 572, 857, 1143, 1428, 1713, 1997, 2280, 2563, 2845, 3126, 3406, 3686, 3964, 4240, 4516,
    4790, 5063, 5334, 5604, 5872, 6138, 6402, 6664, 6924, 7182, 7438, 7692, 7943, 8192, 8438, 8682,
    8923, 9162, 9397, 9630, 9860, 10087, 10311, 10531, 10749, 10963, 11174, 11381, 11585, 11786,
    11982, 12176, 12365, 12551, 12733, 12911, 13085, 13255, 13421, 13583, 13741, 13894, 14044,
    14189, 14330, 14466, 14598, 14726, 14849, 14968, 15082, 15191, 15296, 15396, 15491, 15582,
    15668, 15749, 15826, 15897, 15964, 16026, 16083, 16135, 16182, 16225, 16262, 16294, 16322,
    16344, 16362, 16374, 16382, 16384)
_HALF = _QUARTER + _QUARTER[-2:0:-1]
#: Sines of 0..359 degrees times 2**14.
SINE: Ints = np.array(_HALF + tuple(-value for value in _HALF), dtype=np.int32)


def sine(degrees: int) -> int:
    """The sine times 2**14."""
    return int(SINE[degrees % 360])


def cosine(degrees: int) -> int:
    """The cosine times 2**14."""
    return sine(degrees + 90)


def smooth_noise(rng: Rng, size: int, cell_y: int, cell_x: int | None = None) -> Ints:
    """Value noise: random bytes on a lattice, joined smoothly.

    Args:
        rng: Where the lattice's values come from.
        size: Side of the square result, pixels.
        cell_y: Height of a lattice cell, pixels.
        cell_x: Width of a lattice cell, pixels; as the height when not given.

    Returns:
        ``(size, size)`` integers in ``[0, 256)``.
    """
    cell_x = cell_x or cell_y
    lattice = rng.bytes(size // cell_y + 2, size // cell_x + 2)
    row, weight = _steps(size, cell_y)
    lattice = (lattice[row] * (256 - weight)[:, None] + lattice[row + 1] * weight[:, None]) >> 8
    column, weight = _steps(size, cell_x)
    return (lattice[:, column] * (256 - weight) + lattice[:, column + 1] * weight) >> 8


def _steps(size: int, cell: int) -> tuple[Ints, Ints]:
    """Lattice index of every pixel and the smooth-step weight (0..256) of the next one."""
    index, rest = np.divmod(np.arange(size, dtype=np.int32), cell)
    fraction = rest * 256 // cell
    return index, fraction * fraction * (768 - 2 * fraction) >> 16

"""Scenes: what lies where, and the picture of it."""
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .classes import CLASSES, COLOURS
from .integers import Ints, Rng
from .shapes import FULL, UNIT, Patch, Pose, inside, random_pose, render
from .textures import VOID, background

# A small detector learns shapes slowly from scratch. These make a minute or two of training enough:
# every class has its markings and, mostly, one of two colours, one of which another class may have.
_MOST_OBJECTS = 6
_LENGTHS = (16, 68)  # of an object, pixels on a picture of 128
_LEAST_VISIBLE = 75  # percent of an object that others may not cover
_DIFFICULT_BELOW = 85  # percent visible
_BESIDE_ANOTHER = 20  # percent of the objects that are put beside or on top of another one
_WITH_CROWD = 8  # percent of the scenes
_USUAL_COLOUR = 80  # percent of the objects that have one of their class's two colours


@dataclass
class Thing:
    """One labelled object, or a crowd of small ones of the same class.

    Attributes:
        label: Index into ``CLASSES``.
        colour: Key of ``COLOURS``.
        poses: One pose; those of the members that can be seen for a crowd.
        full_area: Pixels that would be visible with nothing in front.
        crowd: Whether this is a group annotated as one region.
        mask: ``(H, W)``: the visible pixels.
    """

    label: int
    colour: str
    poses: list[Pose]
    full_area: int
    crowd: bool = False
    mask: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), bool))

    @property
    def name(self) -> str:
        """Class name."""
        return CLASSES[self.label]

    @property
    def area(self) -> int:
        """Visible pixels."""
        return int(self.mask.sum())

    @property
    def whole(self) -> bool:
        """Whether nothing covers any of it."""
        return self.area == self.full_area

    @property
    def difficult(self) -> bool:
        """DOTA's flag: a member of a crowd, or largely covered."""
        return self.crowd or self.area * 100 < self.full_area * _DIFFICULT_BELOW


@dataclass
class Scene:
    """A picture and everything that is known about it.

    Attributes:
        index: Position in its split, from 0.
        image: ``(H, W, 3)`` RGB.
        labels: ``(H, W)`` indices into ``CLASSES + STUFF``; ``VOID`` where nothing is labelled.
        things: Objects from back to front.
    """

    index: int
    image: npt.NDArray[np.uint8]
    labels: Ints
    things: list[Thing]


@dataclass
class _Canvas:
    """The picture while it is painted, and who owns each pixel (index of the thing, or -1)."""

    size: int
    rng: Rng
    colours: Ints
    labels: Ints
    owner: Ints
    areas: list[int] = field(default_factory=list)

    @classmethod
    def blank(cls, size: int, rng: Rng) -> _Canvas:
        colours, labels = background(rng, size)
        return cls(size, rng, colours, labels, np.full((size, size), -1, dtype=np.int32))

    def scaled(self, pixels: int, least: int = 1) -> int:
        """A length given for a picture of 128 pixels."""
        return max(least, pixels * self.size // 128)

    def anywhere(self, half: int) -> tuple[int, int]:
        """A random centre, ``half`` pixels (or as far as can be) from the border; 1/64 pixel."""
        half = min(half, self.size // 2 - 1)
        low, high = half * UNIT, (self.size - half) * UNIT
        return self.rng.between(low, high), self.rng.between(low, high)

    def hides_too_much(self, patch: Patch) -> bool:
        """Whether an object already there would show less than ``_LEAST_VISIBLE`` percent."""
        window = self.owner[patch.rows, patch.columns][patch.mask]
        covered = np.bincount(window[window >= 0], minlength=len(self.areas))
        visible = np.bincount(self.owner[self.owner >= 0], minlength=len(self.areas))
        return any((visible - covered) * 100 < np.array(self.areas) * _LEAST_VISIBLE)

    def paint(self,
              pose: Pose,
              patch: Patch,
              colour: tuple[int, int, int],
              owner: int,
              marked: bool = False) -> None:
        """Draw a shape with its shadow, light, markings and dark rim; note whose pixels they are."""
        length = pose.a * 2 // UNIT
        self._cast_shadow(patch, self.scaled(1) + length // 24)
        y, x = np.indices(patch.coverage.shape, dtype=np.int32)
        y, x = y - patch.coverage.shape[0] // 2, x - patch.coverage.shape[1] // 2
        shade = 252 - (x + y) * 44 // (length // 2 + 1)
        shade = shade * (256 - (patch.coverage - _least_neighbour(patch.coverage)) * 8) >> 8
        if marked:
            shade = np.where(_markings(pose, patch), shade * 168 >> 8, shade)
        fill = shade[..., None] * np.array(colour, dtype=np.int32) >> 8
        under = self.colours[patch.rows, patch.columns]
        cover = patch.coverage[..., None]
        self.colours[patch.rows, patch.columns] = (under * (FULL - cover) + fill * cover) // FULL
        self.owner[patch.rows, patch.columns][patch.mask] = owner

    def _cast_shadow(self, patch: Patch, offset: int) -> None:
        """Darken what lies to the lower right of a shape."""
        rows = slice(patch.rows.start, min(patch.rows.stop + offset, self.size))
        columns = slice(patch.columns.start, min(patch.columns.stop + offset, self.size))
        shadow = np.zeros((rows.stop - rows.start, columns.stop - columns.start), dtype=np.int32)
        height, width = (part - offset for part in shadow.shape)
        shadow[offset:, offset:] = patch.coverage[:height, :width]
        under = self.colours[rows, columns]
        self.colours[rows, columns] = under * (256 - shadow * 6)[..., None] >> 8

    def varied(self, colour: str) -> tuple[int, int, int]:
        """A colour a little off its name's."""
        light = self.rng.between(-14, 14)
        red, green, blue = (value + light + self.rng.between(-7, 7) for value in COLOURS[colour])
        return red, green, blue

    def scatter_clutter(self) -> None:
        """Pebbles and twigs that belong to no class and are labelled ``VOID``."""
        for _ in range(self.rng.below(4)):
            length = self.scaled(self.rng.between(5, 44), least=3)
            x, y = self.anywhere(length)
            half = self.scaled(self.rng.between(60, 110)) // 2
            pose = Pose('bar', x, y, length * UNIT // 2, half, self.rng.below(360))
            if length < self.scaled(12):
                pose = Pose('disc', x, y, pose.a // 2, pose.a // 3 + 16, pose.angle)
            if pose.fits(self.size):
                grey = self.rng.between(60, 150)
                patch = render(pose, self.size)
                self.paint(pose, patch, (grey + 12, grey, grey - 14), -1)
                self.labels[patch.rows, patch.columns][patch.mask] = VOID

    def _shows(self, pose: Pose, mask: npt.NDArray[np.bool_]) -> bool:
        """Whether enough of one member of a crowd is visible."""
        patch = render(pose, self.size)
        visible = mask[patch.rows, patch.columns][patch.mask]
        return int(visible.sum()) * 100 >= visible.size * _LEAST_VISIBLE

    def finish(self, index: int, things: list[Thing]) -> Scene:
        """The scene; grain goes over everything."""
        for number, thing in enumerate(things):
            thing.mask = self.owner == number
            self.labels[thing.mask] = thing.label
            if thing.crowd:
                thing.poses = [pose for pose in thing.poses if self._shows(pose, thing.mask)]
        grain = (self.rng.bytes(self.size, self.size) >> 5) - 4
        image = np.clip(self.colours + grain[..., None], 0, 255).astype(np.uint8)
        return Scene(index, image, self.labels, things)


def _markings(pose: Pose, patch: Patch) -> npt.NDArray[np.bool_]:
    """``(h, w)``: where a shape is darker: bars have stripes, triangles spots, stars a heart."""
    if pose.kind == 'bar':
        return (patch.u + pose.a) * 5 // (2 * pose.a) % 2 == 1
    if pose.kind == 'triangle':
        along = (patch.u + pose.a) * 6 // (2 * pose.a)
        return (along & (patch.v + pose.b) * 6 // (2 * pose.b)) % 2 == 1
    if pose.kind == 'star':
        return inside(pose, patch.u * 2, patch.v * 2)
    return np.zeros(patch.coverage.shape, bool)


def _least_neighbour(coverage: Ints) -> Ints:
    """The least coverage of each pixel and its four neighbours."""
    least = coverage.copy()
    np.minimum(least[1:], coverage[:-1], out=least[1:])
    np.minimum(least[:-1], coverage[1:], out=least[:-1])
    np.minimum(least[:, 1:], coverage[:, :-1], out=least[:, 1:])
    np.minimum(least[:, :-1], coverage[:, 1:], out=least[:, :-1])
    return least


def _colour(rng: Rng, label: int) -> str:
    """A name of ``COLOURS``: mostly one of the two usual ones of a class, else any."""
    names = tuple(COLOURS)
    if rng.chance(_USUAL_COLOUR):
        return names[label * len(names) // len(CLASSES) + rng.below(2)]
    return rng.choice(names)


def _add_crowd(canvas: _Canvas, things: list[Thing]) -> None:
    """Six to ten tiny objects of one class and colour, close together but not overlapping."""
    rng = canvas.rng
    label = rng.below(len(CLASSES))
    colour = _colour(rng, label)
    reach = canvas.scaled(20, least=9)
    x, y = canvas.anywhere(reach + 6)
    poses: list[Pose] = []
    area, wanted = 0, rng.between(6, 10)
    for _ in range(60):
        length = canvas.scaled(rng.between(6, 8), least=5)
        pose = random_pose(rng, CLASSES[label], length, x + rng.between(-reach, reach) * UNIT,
                           y + rng.between(-reach, reach) * UNIT)
        if not pose.fits(canvas.size):
            continue
        patch = render(pose, canvas.size)
        if (canvas.owner[patch.rows, patch.columns][patch.mask] >= 0).any():
            continue
        canvas.paint(pose, patch, canvas.varied(colour), len(things), marked=True)
        poses.append(pose)
        area += int(patch.mask.sum())
        if len(poses) == wanted:
            break
    if poses:
        things.append(Thing(label, colour, poses, area, crowd=True))
        canvas.areas.append(area)


def _add_object(canvas: _Canvas, things: list[Thing], least: int, most: int) -> bool:
    """Try to place one object between ``least`` and ``most`` pixels long; whether it went."""
    rng = canvas.rng
    label = rng.below(len(CLASSES))
    colour = _colour(rng, label)
    length = rng.between(least, most)
    for _ in range(12):
        if things and rng.chance(_BESIDE_ANOTHER):
            other = rng.choice(things).poses[0]
            reach = (other.a + length * UNIT // 2) * 9 // 10
            x, y = other.x + rng.between(-reach, reach), other.y + rng.between(-reach, reach)
        else:
            x, y = canvas.anywhere(length // 2 + 1)
        pose = random_pose(rng, CLASSES[label], length, x, y)
        if not pose.fits(canvas.size):
            continue
        patch = render(pose, canvas.size)
        if canvas.hides_too_much(patch):
            continue
        canvas.paint(pose, patch, canvas.varied(colour), len(things), marked=True)
        area = int(patch.mask.sum())
        things.append(Thing(label, colour, [pose], area))
        canvas.areas.append(area)
        return True
    return False


def compose(size: int, seed: int, split: int, index: int) -> Scene:
    """One to six objects, 16 to 68 pixels long on a picture of 128; now and then a crowd.

    Args:
        size: Side of the picture, pixels.
        seed, split, index: Name the scene; each scene is made independently of the others.
    """
    canvas = _Canvas.blank(size, Rng(seed, split, index))
    canvas.scatter_clutter()
    things: list[Thing] = []
    if canvas.rng.chance(_WITH_CROWD):
        _add_crowd(canvas, things)
    wanted = canvas.rng.between(1, _MOST_OBJECTS)
    least, most = canvas.scaled(_LENGTHS[0], least=8), canvas.scaled(_LENGTHS[1])
    placed = 0
    for _ in range(4 * _MOST_OBJECTS):
        placed += _add_object(canvas, things, least, most)
        if placed == wanted:
            break
    return canvas.finish(index, things)


def compose_portrait(size: int, seed: int, split: int, index: int) -> Scene:
    """One dominant object, two to three quarters of the picture long, for classification.

    The classes take turns, so that every split is balanced. Arguments as in :func:`compose`.
    """
    canvas = _Canvas.blank(size, Rng(seed, split, index, 1))
    canvas.scatter_clutter()
    rng = canvas.rng
    label = index % len(CLASSES)
    colour = _colour(rng, label)
    while True:
        length = rng.between(size * 40 // 100, size * 75 // 100)
        pose = random_pose(rng, CLASSES[label], length, *canvas.anywhere(length // 2 + 1))
        if pose.fits(size):
            break
    patch = render(pose, size)
    canvas.paint(pose, patch, canvas.varied(colour), 0, marked=True)
    thing = Thing(label, colour, [pose], int(patch.mask.sum()))
    return canvas.finish(index, [thing])

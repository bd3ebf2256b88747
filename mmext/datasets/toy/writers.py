"""The four formats. A writer gets every scene of a split in turn, then ends the split."""
from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import png
from .captions import describe
from .classes import CLASSES, PALETTE, STUFF
from .masks import bounding_box, segmentation
from .scene import Scene, Thing
from .shapes import UNIT

SPLITS = ('train', 'val')
#: Image ids start at 1 in 'train' and after this number in 'val'.
VAL_OFFSET = 500_000


def to_json(content: Any) -> bytes:
    """One spelling for equal content."""
    return (json.dumps(content, sort_keys=True, separators=(',', ':')) + '\n').encode()


class Folder:
    """A folder being filled: creates parents, counts, and remembers what every file holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._hashes: dict[str, str] = {}

    def write(self, name: str, content: bytes) -> None:
        """Write a file; ``name`` is relative, with forward slashes."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.size += len(content)
        self._hashes[name] = hashlib.sha256(content).hexdigest()

    @property
    def files(self) -> int:
        """Files written."""
        return len(self._hashes)

    @property
    def digest(self) -> str:
        """SHA-256 over all names and contents."""
        lines = (f'{name} {self._hashes[name]}\n' for name in sorted(self._hashes))
        return hashlib.sha256(''.join(lines).encode()).hexdigest()


class Writer(ABC):
    """Writes one format into one folder.

    Attributes:
        portraits: Whether the format wants pictures of one dominant object.
    """

    portraits = False

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    @abstractmethod
    def add(self, split: str, scene: Scene, picture: bytes) -> None:
        """Write a scene; ``picture`` is its PNG."""

    def end(self, split: str) -> None:  # noqa: B027 (most formats have nothing to add)
        """Write what belongs to a whole split."""


class CocoWriter(Writer):
    """COCO instances, captions and panoptic segmentation."""

    def __init__(self, folder: Folder) -> None:
        super().__init__(folder)
        self._start()

    def _start(self) -> None:
        self._images: list[dict[str, Any]] = []
        self._instances: list[dict[str, Any]] = []
        self._captions: list[dict[str, Any]] = []
        self._panoptic: list[dict[str, Any]] = []

    def add(self, split: str, scene: Scene, picture: bytes) -> None:
        image_id = scene.index + 1 + VAL_OFFSET * SPLITS.index(split)
        name = f'{image_id:012d}.png'
        self.folder.write(f'{split}/{name}', picture)
        height, width = scene.labels.shape
        self._images.append(dict(id=image_id, file_name=name, height=height, width=width))
        for thing in scene.things:
            self._instances.append(
                dict(
                    id=len(self._instances) + 1,
                    image_id=image_id,
                    segmentation=segmentation(thing.mask, thing.whole and not thing.crowd),
                    **_region(thing.label, thing.mask, thing.crowd)))
        for caption in describe(scene):
            self._captions.append(
                dict(id=len(self._captions) + 1, image_id=image_id, caption=caption))
        segments, colours = _panoptic_segments(scene)
        self.folder.write(f'annotations/panoptic_{split}/{name}', png.encode(colours))
        self._panoptic.append(dict(image_id=image_id, file_name=name, segments_info=segments))

    def end(self, split: str) -> None:
        things = [
            dict(id=label + 1, name=name, supercategory='shape')
            for label, name in enumerate(CLASSES)
        ]
        categories = [
            dict(
                id=label + 1,
                name=name,
                supercategory='shape' if label < len(CLASSES) else 'ground',
                isthing=int(label < len(CLASSES)),
                color=list(PALETTE[label])) for label, name in enumerate(CLASSES + STUFF)
        ]
        shared = dict(info=dict(description='mmext toy data'), licenses=[], images=self._images)
        for kind, content in (('instances', dict(annotations=self._instances, categories=things)),
                              ('captions', dict(annotations=self._captions)),
                              ('panoptic', dict(annotations=self._panoptic,
                                                categories=categories))):
            self.folder.write(f'annotations/{kind}_{split}.json', to_json({**shared, **content}))
        self._start()


def _region(label: int, mask: npt.NDArray[np.bool_], crowd: bool) -> dict[str, Any]:
    """What an instance and a panoptic segment have in common."""
    return dict(
        category_id=label + 1,
        area=int(mask.sum()),
        bbox=bounding_box(mask),
        iscrowd=int(crowd))


def _panoptic_segments(scene: Scene) -> tuple[list[dict[str, Any]], npt.NDArray[np.uint8]]:
    """Segments and their picture: the id of a segment is its colour, R + 256 G + 65536 B."""
    regions: list[tuple[int, npt.NDArray[np.bool_], bool]] = [
        (label, scene.labels == label, False)
        for label in range(len(CLASSES), len(CLASSES + STUFF)) if (scene.labels == label).any()
    ]
    regions += [(thing.label, thing.mask, thing.crowd) for thing in scene.things]
    segments = []
    numbers = np.zeros(scene.labels.shape, np.uint8)
    colours = [(0, 0, 0)]
    for number, (label, mask, crowd) in enumerate(regions, 1):
        red, green, blue = PALETTE[label]
        blue -= 3 * number  # PALETTE's colours differ in red or green: ids stay distinct
        numbers[mask] = number
        colours.append((red, green, blue))
        segments.append(dict(id=red + (green << 8) + (blue << 16), **_region(label, mask, crowd)))
    return segments, np.array(colours, np.uint8)[numbers]


class DotaWriter(Writer):
    """DOTA's text files: the whole oriented box, class, difficulty; a crowd's members each."""

    def add(self, split: str, scene: Scene, picture: bytes) -> None:
        name = f'P{scene.index + 1:06d}'
        self.folder.write(f'{split}/images/{name}.png', picture)
        lines = ''.join(
            f'{_quadrilateral(pose.corners)} {thing.name} {int(thing.difficult)}\n'
            for thing in scene.things for pose in thing.poses)
        self.folder.write(f'{split}/annfiles/{name}.txt', lines.encode())


def _quadrilateral(corners: list[tuple[int, int]]) -> str:
    """Eight coordinates in pixels, to a tenth."""
    tenths = [(value * 10 + UNIT // 2) // UNIT for corner in corners for value in corner]
    return ' '.join(f'{value // 10}.{value % 10}' for value in tenths)


class Ade20kWriter(Writer):
    """ADE20K's folders; in the label maps 0 is unlabelled and class i is i + 1."""

    _FOLDERS = {'train': 'training', 'val': 'validation'}

    def add(self, split: str, scene: Scene, picture: bytes) -> None:
        name = f'{self._FOLDERS[split]}/ADE_{split}_{scene.index + 1:08d}.png'
        self.folder.write(f'images/{name}', picture)
        self.folder.write(f'annotations/{name}', png.encode((scene.labels + 1).astype(np.uint8)))


class ImageNetWriter(Writer):
    """One folder a class, and the box of every object in ``boxes_<split>.json``: x1, y1, x2, y2."""

    portraits = True

    def __init__(self, folder: Folder) -> None:
        super().__init__(folder)
        self._boxes: dict[str, list[list[int]]] = {}

    def add(self, split: str, scene: Scene, picture: bytes) -> None:
        thing: Thing = scene.things[0]
        name = f'{thing.name}/{thing.name}_{scene.index + 1:06d}.png'
        self.folder.write(f'{split}/{name}', picture)
        x, y, width, height = bounding_box(thing.mask)
        self._boxes[name] = [[x, y, x + width, y + height]]

    def end(self, split: str) -> None:
        self.folder.write(f'boxes_{split}.json', to_json(self._boxes))
        self._boxes = {}

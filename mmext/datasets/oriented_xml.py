"""DIOR-R and FAIR1M label files, which are XML, as DOTA's text files.

With those every tool for DOTA works: mmrotate's tiling, :class:`.DOTAMetric` with merged tiles, the
data set doctor. FAIR1M's pictures have up to 10,000 pixels a side and must be tiled; DIOR's have 800.
"""
from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..apis.writers import replacing
from ..errors import UserError, did_you_mean

DIOR_CLASSES = (
    'airplane', 'airport', 'baseballfield', 'basketballcourt', 'bridge', 'chimney',
    'expressway-service-area', 'expressway-toll-station', 'dam', 'golffield', 'groundtrackfield', 'harbor',
    'overpass', 'ship', 'stadium', 'storagetank', 'tenniscourt', 'trainstation', 'vehicle', 'windmill')
#: FAIR1M's 37 classes; DOTA's files part words at spaces, so names have hyphens in their place.
FAIR1M_CLASSES = (
    'Boeing737', 'Boeing747', 'Boeing777', 'Boeing787', 'C919', 'A220', 'A321', 'A330', 'A350', 'ARJ21',
    'other-airplane', 'Passenger-Ship', 'Motorboat', 'Fishing-Boat', 'Tugboat', 'Engineering-Ship',
    'Liquid-Cargo-Ship', 'Dry-Cargo-Ship', 'Warship', 'other-ship', 'Small-Car', 'Bus', 'Cargo-Truck',
    'Dump-Truck', 'Van', 'Trailer', 'Tractor', 'Excavator', 'Truck-Tractor', 'other-vehicle',
    'Basketball-Court', 'Tennis-Court', 'Football-Field', 'Baseball-Field', 'Intersection', 'Roundabout',
    'Bridge')
_DIOR_CORNERS = ('left_top', 'right_top', 'right_bottom', 'left_bottom')


@dataclass(frozen=True)
class LabelledObject:
    """One object: corners ``x1 y1 ... x4 y4`` in pixels, class, and whether it is difficult."""

    corners: tuple[float, ...]
    name: str
    difficult: bool = False

    def line(self) -> str:
        """The object in a DOTA label file."""
        return f'{" ".join(f"{value:g}" for value in self.corners)} {self.name} {int(self.difficult)}\n'


def read_dior(root: ET.Element) -> list[LabelledObject]:
    """Objects of a DIOR-R file (``object`` with ``name`` and ``robndbox``)."""
    known = {name.lower(): name for name in DIOR_CLASSES}
    objects = []
    for node in root.iter('object'):
        corners = [_number(node, f'robndbox/{axis}_{corner}') for corner in _DIOR_CORNERS for axis in 'xy']
        difficult = (node.findtext('difficult') or '0').strip() == '1'
        objects.append(LabelledObject(tuple(corners), _class(_text(node, 'name'), known), difficult))
    return objects


def read_fair1m(root: ET.Element) -> list[LabelledObject]:
    """Objects of a FAIR1M file (``possibleresult/name`` and ``points/point``, the first one repeated)."""
    known = {name.lower(): name for name in FAIR1M_CLASSES}
    objects = []
    for node in root.iter('object'):
        points = [point.text or '' for point in node.findall('points/point')]
        if len(points) not in (4, 5):
            raise UserError(f'an object has {len(points)} points, expected 4, or 5 with the first repeated')
        try:
            corners = [float(value) for point in points[:4] for value in point.split(',')]
        except ValueError as error:
            raise UserError(f'points {points[:4]}: expected x,y') from error
        if len(corners) != 8:
            raise UserError(f'points {points[:4]}: expected x,y')
        objects.append(LabelledObject(tuple(corners), _class(_text(node, 'possibleresult/name'), known)))
    return objects


#: Readers of the formats by the name that a user gives.
READERS: Mapping[str, Callable[[ET.Element], list[LabelledObject]]] = {
    'dior-r': read_dior, 'fair1m': read_fair1m}


def convert_labels(form: str, source: Path, target: Path,
                   names: Sequence[str] | None = None) -> dict[str, int]:
    """Write a folder of XML files as DOTA label files of the same names.

    Args:
        form: A key of :data:`READERS`.
        source: Folder of the XML files.
        target: Folder of the text files; made if missing.
        names: Images to convert, without suffix (a split's list); None: all.

    Returns:
        How many objects each class has.

    Raises:
        UserError: For an unknown format, a missing or empty folder, an image of ``names`` without labels,
            a file that is no XML, and an object that is incomplete or of an unknown class. Nothing is
            written then.
    """
    if form not in READERS:
        raise UserError(f"format '{form}'{did_you_mean(form, READERS)} Expected {' or '.join(READERS)}")
    if not source.is_dir():
        raise UserError(f'{source} is not a folder: expected the XML files of {form}')
    files = {path.stem: path for path in sorted(source.glob('*.xml'))}
    if not files:
        raise UserError(f'{source} has no *.xml files: expected the labels of {form}')
    missing = [name for name in names or () if name not in files]
    if missing:
        raise UserError(f'{source} lacks the labels of {len(missing)} images of the split, '
                        f'for example {missing[0]}.xml')
    texts, counts = {}, dict[str, int]()
    for name in files if names is None else names:
        try:
            objects = READERS[form](ET.parse(files[name]).getroot())
        except ET.ParseError as error:
            raise UserError(f'{files[name]} is no XML: {error}') from error
        except UserError as error:
            raise UserError(f'{files[name]}: {error}') from error
        texts[name] = ''.join(one.line() for one in objects)
        for one in objects:
            counts[one.name] = counts.get(one.name, 0) + 1
    target.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with replacing(target / f'{name}.txt') as temporary:
            temporary.write_text(text)
    return counts


def _class(name: str, known: Mapping[str, str]) -> str:
    """The class's name as the configs have it: case does not matter, nor space or hyphen."""
    key = '-'.join(name.lower().split())
    if key not in known:
        raise UserError(f"class '{name}' is unknown{did_you_mean(key, list(known))}")
    return known[key]


def _text(node: ET.Element, path: str) -> str:
    text = node.findtext(path)
    if text is None or not text.strip():
        raise UserError(f'an object has no {path}')
    return text.strip()


def _number(node: ET.Element, path: str) -> float:
    text = _text(node, path)
    try:
        return float(text)
    except ValueError as error:
        raise UserError(f"{path} is '{text}', expected a number") from error

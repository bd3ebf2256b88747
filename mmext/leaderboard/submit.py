"""Archives for the evaluation servers of COCO, DOTA and ADE20K, from the files the metrics write.

Nothing is computed anew: the results are those that the run's metric wrote. They are checked against
the images and classes of the server's test set first, because a server's answer takes an hour or a day.
"""
from __future__ import annotations

import json
import math
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError, did_you_mean

DOTA_CLASSES = ('plane', 'baseball-diamond', 'bridge', 'ground-track-field', 'small-vehicle', 'large-vehicle',
                'ship', 'tennis-court', 'basketball-court', 'storage-tank', 'soccer-ball-field', 'roundabout',
                'harbor', 'swimming-pool', 'helicopter')
_DOTA_LATER = ('container-crane', 'airport', 'helipad')  # of v1.5 (the first) and v2.0
_ADE_CLASSES = 150
_ZIP_TIME = (2000, 1, 1, 0, 0, 0)  # the same results make the same archive
_IMAGES = ('.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp')


@dataclass(frozen=True)
class Server:
    """An evaluation server.

    Attributes:
        results: What the results file is and how to get it.
        images: What says which images the test set has.
        suffix: Of the archive's name, after the run's; ``{run}`` stands for it.
        write: Checks the results and writes the archive; returns what to tell the user.
    """

    results: str
    images: str
    name: str
    write: Callable[[Path, Path, Path, str], list[str]]


def write_submission(server: str, results: Path, images: Path | None, folder: Path, run: str
                     ) -> tuple[Path, list[str]]:
    """Write the archive to hand in.

    Args:
        server: A key of :data:`SERVERS`.
        results: File or folder that the run's metric wrote.
        images: COCO: the annotation file of the test images; else the folder of the images.
        folder: Where the archive goes.
        run: Name for the archive.

    Returns:
        The archive, and lines to tell the user.

    Raises:
        UserError: If results or images are missing or of other images or classes, or the archive is
            there already. Nothing is written then.
    """
    one = SERVERS[server]
    if not results.exists():
        raise UserError(f"--results: there is no '{results}'; expected {one.results}")
    if images is None:
        raise UserError(f'--images: {server} needs {one.images}, to check the results by')
    if not images.exists():
        raise UserError(f"--images: there is no '{images}'; expected {one.images}")
    safe = re.sub(r'[^A-Za-z0-9.-]+', '-', run).strip('-') or 'run'
    archive = folder / one.name.format(run=safe)
    if archive.exists():
        raise UserError(f"'{archive}' is there already; move it away or choose another --out")
    return archive, one.write(results, images, archive, safe)


@contextmanager
def _archive(path: Path, compress: bool) -> Iterator[Callable[[str, bytes], None]]:
    from ..apis.writers import replacing
    with (replacing(path) as temporary,
          zipfile.ZipFile(temporary, 'w', zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as out):

        def add(name: str, content: bytes) -> None:
            entry = zipfile.ZipInfo(name, _ZIP_TIME)
            entry.compress_type = out.compression
            entry.external_attr = 0o644 << 16
            out.writestr(entry, content)

        yield add


def _files(path: Path, suffix: str, what: str) -> dict[str, Callable[[], bytes]]:
    """Readers of the files in a folder or archive, by name without folders."""
    if path.is_dir():
        found = {file.name: file.read_bytes for file in sorted(path.glob(f'*{suffix}'))}
    elif zipfile.is_zipfile(path):
        found = {}
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(suffix):
                    found[os.path.basename(name)] = _member(path, name)
    else:
        raise UserError(f"--results: '{path}' is neither a folder nor a zip archive; expected {what}")
    if not found:
        raise UserError(f"--results: there are no {suffix} files in '{path}'; expected {what}")
    return found


def _member(path: Path, name: str) -> Callable[[], bytes]:
    def read() -> bytes:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    return read


def _stems(folder: Path) -> set[str]:
    if not folder.is_dir():
        raise UserError(f"--images: '{folder}' is not a folder")
    stems = {file.stem for file in folder.iterdir() if file.suffix.lower() in _IMAGES}
    if not stems:
        raise UserError(f"--images: there are no images in '{folder}'")
    return stems


def _foreign(found: set, known: set, where: Path, images: Path) -> None:
    other = sorted(found - known, key=str)
    if other:
        raise UserError(f'{where}: results of {len(other)} of {len(found)} images that {images} does not '
                        f"have, for example '{other[0]}'{did_you_mean(str(other[0]), map(str, known))}\n"
                        'Were they made with the test set?')


# ------------------------------------------------------------------------------------------- COCO


def _coco(results: Path, images: Path, archive: Path, run: str) -> list[str]:
    rows, truth = _json(results, '--results'), _json(images, '--images')
    if not isinstance(truth, dict) or not {'images', 'categories'} <= set(truth):
        raise UserError(f"--images: {images} is no COCO annotation file ('images' and 'categories' missing)")
    known = {one['id'] for one in truth['images']}
    classes = {one['id']: one['name'] for one in truth['categories']}
    if not isinstance(rows, list) or not rows:
        raise UserError(f'--results: {results} must be a list of detections, and not empty')
    for number, row in enumerate(rows):
        _check_coco_row(row, f'{results}, detection {number + 1}', classes)
    found = {row['image_id'] for row in rows}
    _foreign(found, known, results, images)
    with _archive(archive, compress=True) as add:
        # the server wants one file in the archive, of the archive's name
        add(f'{archive.stem}.json', results.read_bytes())
    return [f'{len(rows)} detections in {len(found)} of {len(known)} images',
            *([f'{len(known) - len(found)} images have no detection'] if found < known else [])]


def _json(path: Path, option: str) -> object:
    if path.is_dir():
        raise UserError(f"{option}: '{path}' is a folder, expected a JSON file")
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise UserError(f'{option}: {path} is not JSON ({error})') from None


def _check_coco_row(row: object, where: str, classes: Mapping[int, str]) -> None:
    if not isinstance(row, dict) or not {'image_id', 'category_id', 'score'} <= set(row) or \
            not {'bbox', 'segmentation'} & set(row):
        raise UserError(f"{where}: expected 'image_id', 'category_id', 'score' and 'bbox' or 'segmentation'")
    if row['category_id'] not in classes:
        raise UserError(f"{where}: category {row['category_id']!r} is none of the {len(classes)} of the test "
                        'set; are the results of other classes?')
    numbers = [row['score'], *(row.get('bbox') or ())]
    if not all(isinstance(one, int | float) and math.isfinite(one) for one in numbers):
        raise UserError(f"{where}: score or box is not a finite number")


# ------------------------------------------------------------------------------------------- DOTA


def _dota(results: Path, images: Path, archive: Path, run: str) -> list[str]:
    files, known = _files(results, '.txt', SERVERS['dota-task1'].results), _stems(images)
    classes = []
    for name in files:
        label = name[len('Task1_'):-len('.txt')]
        if not name.startswith('Task1_') or label not in (*DOTA_CLASSES, *_DOTA_LATER):
            raise UserError(f"{results}: '{name}' is not Task1_CLASS.txt of a class of DOTA"
                            f'{did_you_mean(label, (*DOTA_CLASSES, *_DOTA_LATER))}')
        classes.append(label)
    missing = [label for label in DOTA_CLASSES if label not in classes]
    if missing:
        raise UserError(f"{results}: no file of {len(missing)} classes ({', '.join(missing)}); a class "
                        'without detections needs an empty one')
    contents = {name: read() for name, read in files.items()}
    found: set[str] = set()
    rows = coarse = 0
    for name, content in contents.items():
        for number, line in enumerate(content.decode('utf-8', 'replace').splitlines(), 1):
            words = line.split()
            _check_dota_row(words, f'{results}, {name}, line {number}')
            found.add(words[0])
            rows += 1
            coarse += len(words[1].partition('.')[2]) <= 2
    if not rows:
        raise UserError(f'{results}: there is not one detection')
    _foreign(found, known, results, images)
    with _archive(archive, compress=True) as add:
        for name, content in contents.items():
            add(name, content)
    lines = [f'{rows} detections of {len(classes)} classes in {len(found)} of {len(known)} images']
    if coarse == rows:
        lines.append("warning: every score has two decimals or fewer, as mmrotate's metric rounds them; the "
                     'server ranks by score, so equal ones cost accuracy. mmext.DOTAMetric keeps all digits.')
    return lines


def _check_dota_row(words: Sequence[str], where: str) -> None:
    try:
        if len(words) != 10:
            raise ValueError
        score, *corners = map(float, words[1:])
    except ValueError:
        raise UserError(f'{where}: expected image, score and eight coordinates') from None
    if not 0 <= score <= 1 or not all(map(math.isfinite, corners)):
        raise UserError(f'{where}: the score must be from 0 to 1, and the coordinates finite')


# ----------------------------------------------------------------------------------------- ADE20K


def _ade(results: Path, images: Path, archive: Path, run: str) -> list[str]:
    files, known = _files(results, '.png', SERVERS['ade20k'].results), _stems(images)
    found = {Path(name).stem for name in files}
    _foreign(found, known, results, images)
    missing = sorted(known - found)
    if missing:
        raise UserError(f"{results}: no label map of {len(missing)} of {len(known)} images, the first is "
                        f"'{missing[0]}'")
    sizes = {file.stem: file for file in images.iterdir() if file.suffix.lower() in _IMAGES}
    for name, read in files.items():
        _check_label_map(read(), sizes[Path(name).stem], f'{results}, {name}')
    with _archive(archive, compress=False) as add:  # PNG does not shrink further
        for name, read in files.items():
            add(name, read())
    return [f'label maps of {len(files)} images']


def _check_label_map(content: bytes, image: Path, where: str) -> None:
    import io

    from PIL import Image
    try:
        with Image.open(io.BytesIO(content)) as picture:
            mode, size, (low, high) = picture.mode, picture.size, \
                picture.getextrema() if picture.mode in ('L', 'P') else (0, 0)
    except OSError:
        raise UserError(f'{where}: cannot be read as a picture') from None
    if mode not in ('L', 'P'):
        raise UserError(f'{where}: expected one channel of 8 bits, not {mode}')
    if low < 1 or high > _ADE_CLASSES:
        hint = '; were the labels written without reduce_zero_label?' if low == 0 else ''
        raise UserError(f'{where}: labels from {low} to {high}, the server expects 1 to {_ADE_CLASSES}{hint}')
    with Image.open(image) as original:
        if original.size != size:
            raise UserError(f'{where}: has {size[0]} x {size[1]} pixels, the image '
                            f'{original.size[0]} x {original.size[1]}')


SERVERS: Mapping[str, Server] = {
    'coco-test-dev': Server(
        'PREFIX.bbox.json or PREFIX.segm.json, which mmext.CocoMetric(format_only=True, '
        "outfile_prefix='PREFIX') writes",
        'the file image_info_test-dev2017.json', 'detections_test-dev2017_{run}_results.zip', _coco),
    'dota-task1': Server(
        "the folder or zip of Task1_CLASS.txt, which mmext.DOTAMetric(merge_patches=True, "
        "outfile_prefix='FOLDER') writes",
        'the folder of the test images, whole', 'dota-task1_{run}.zip', _dota),
    'ade20k': Server(
        'the folder or zip of label maps (PNG), which mmext test --out FOLDER writes',
        'the folder of the test images', 'ade20k_{run}.zip', _ade),
}

"""Making the toy data: once, whole, and the same whoever makes it."""
from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmext.errors import UserError, did_you_mean

from . import png
from .scene import compose, compose_portrait
from .writers import (
    SPLITS,
    Ade20kWriter,
    CocoWriter,
    DotaWriter,
    Folder,
    ImageNetWriter,
    Writer,
    to_json,
)

#: Changes whenever the same arguments give other bytes.
VERSION = 3
#: What :func:`make` can write; each is a folder of that name.
FORMATS = ('coco', 'dota', 'ade20k', 'imagenet')
MANIFEST = 'manifest.json'

_WRITERS: dict[str, type[Writer]] = {
    'coco': CocoWriter,
    'dota': DotaWriter,
    'ade20k': Ade20kWriter,
    'imagenet': ImageNetWriter,
}
_SIZES = (32, 1024)
_MOST_IMAGES = 100_000
_STALE = 3600  # seconds after which the leavings of a killed run are swept away


@dataclass(frozen=True)
class Made:
    """One format on disk.

    Attributes:
        path: Its folder.
        images: Pictures in it, both splits.
        size: Bytes in it.
        digest: SHA-256 over all names and contents.
        fresh: Whether this call wrote it; False when it was there already.
    """

    path: Path
    images: int
    size: int
    digest: str
    fresh: bool


def make(root: str | os.PathLike[str],
         formats: Sequence[str] = FORMATS,
         num_train: int = 400,
         num_val: int = 100,
         size: int = 128,
         seed: int = 0,
         progress: Callable[[int, int], object] | None = None) -> list[Made]:
    """Write toy data under ``root``, one folder a format; what is there already stays untouched.

    Each folder is made beside its place and renamed, its ``manifest.json`` written last: a run that
    is interrupted leaves the old state, and processes that make the same data don't disturb each
    other. A folder that other arguments made is replaced; one that this function didn't make is
    refused.

    Args:
        root: Folder for the formats' folders; created.
        formats: Any of ``FORMATS``. COCO, DOTA and ADE20K show the same scenes.
        num_train: Training images, 0 to 100,000. More of them leave the first ones as they are.
        num_val: Validation images, likewise.
        size: Side of the square images, 32 to 1024 pixels. Objects scale with it.
        seed: Names the data; any integer.
        progress: Called with (scenes done, scenes to do).

    Returns:
        One record a format, in the order given.

    Raises:
        UserError: An argument is out of range, or a folder in the way is not toy data.
    """
    arguments = _checked(formats, num_train, num_val, size, seed)
    root = Path(root)
    names = list(dict.fromkeys(formats))
    wanted = names
    if root.is_dir():
        with _undisturbed(root):
            wanted = [name for name in names if _read(root / name, arguments) is None]
            for name in wanted:
                _refuse_strangers(root / name)
    if wanted:
        _write(root, wanted, arguments, progress)
    made = []
    with _undisturbed(root):
        for name in names:
            manifest = _read(root / name, arguments)
            if manifest is None:
                raise UserError(f"'{root / name}' was replaced while it was being made: another "
                                'process makes it with other arguments')
            made.append(
                Made(root / name, num_train + num_val, manifest['bytes'], manifest['digest'],
                     name in wanted))
    return made


def _checked(formats: Sequence[str], num_train: int, num_val: int, size: int,
             seed: int) -> dict[str, int]:
    """The arguments that decide the bytes, after checking all of them."""
    if isinstance(formats, str):
        raise UserError(f'formats: expected a list of names, got {formats!r}')
    for name in formats:
        if name not in FORMATS:
            raise UserError(f'formats: {name!r} is not one of {", ".join(FORMATS)}'
                            f'{did_you_mean(str(name), FORMATS)}')
    if not formats:
        raise UserError(f'formats: expected at least one of {", ".join(FORMATS)}')
    for key, value, least, most in (('num_train', num_train, 0, _MOST_IMAGES),
                                    ('num_val', num_val, 0, _MOST_IMAGES), ('size', size, *_SIZES)):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            nearest = f'; the nearest is {min(max(value, least), most)}' if isinstance(
                value, (int, float)) else ''
            raise UserError(
                f'{key}: expected an integer from {least} to {most}, got {value!r}{nearest}')
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise UserError(f'seed: expected an integer, got {seed!r}')
    if num_train + num_val == 0:
        raise UserError('num_train and num_val: at least one image is needed, got 0 and 0')
    return dict(num_train=num_train, num_val=num_val, size=size, seed=seed)


def _read(folder: Path, arguments: dict[str, int] | None = None) -> dict[str, Any] | None:
    """A folder's manifest; None if it has none, or not of these arguments, or files are gone."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if manifest['mmext_toy_data'] != VERSION and arguments is not None:
            return None
        if arguments is not None and (manifest['arguments'] != arguments or
                                      (manifest['files'], manifest['bytes']) != _count(folder)):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return manifest


def _count(folder: Path) -> tuple[int, int]:
    """Files and bytes in a folder, without its manifest."""
    sizes = [
        os.path.getsize(os.path.join(parent, name)) for parent, _, names in os.walk(folder)
        for name in names if (parent, name) != (str(folder), MANIFEST)
    ]
    return len(sizes), sum(sizes)


def _refuse_strangers(folder: Path) -> None:
    """Never replace what may be somebody's real data."""
    there = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if there and _read(folder) is None:
        raise UserError(f"'{folder}' is there and was not made by make_toy_data; "
                        'choose another root, or move it away')


def _write(root: Path, names: list[str], arguments: dict[str, int],
           progress: Callable[[int, int], object] | None) -> None:
    """Make the formats in a folder beside their places, then move them there."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder '{root}': {error.strerror}") from error
    with _workshop(root) as workshop:
        writers = {name: _WRITERS[name](Folder(workshop / name)) for name in names}
        counts = dict(zip(SPLITS, (arguments['num_train'], arguments['num_val'])))
        kinds = {writer.portraits for writer in writers.values()}
        total, done = len(kinds) * sum(counts.values()), 0
        for number, split in enumerate(SPLITS):
            for portraits in sorted(kinds):
                for index in range(counts[split]):
                    scene = (compose_portrait if portraits else compose)(
                        arguments['size'], arguments['seed'], number, index)
                    picture = png.encode(scene.image)
                    for writer in writers.values():
                        if writer.portraits == portraits:
                            writer.add(split, scene, picture)
                    done += 1
                    if progress:
                        progress(done, total)
            for writer in writers.values():
                writer.end(split)
        for writer in writers.values():
            _close(writer.folder, arguments)
        with _undisturbed(root):
            for name in names:
                _install(workshop / name, root / name, workshop / f'{name}.old', arguments)


@contextlib.contextmanager
def _undisturbed(root: Path) -> Iterator[None]:
    """While this lasts, no other maker replaces a folder under ``root``."""
    handle = os.open(root, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _workshop(root: Path) -> Iterator[Path]:
    """A private folder under ``root``, removed in the end; so are old ones of killed runs."""
    for leaving in root.glob('.toy-*'):
        with contextlib.suppress(OSError):
            if time.time() - leaving.stat().st_mtime > _STALE:
                shutil.rmtree(leaving, ignore_errors=True)
    workshop = Path(tempfile.mkdtemp(prefix='.toy-', dir=root))
    try:
        yield workshop
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _close(folder: Folder, arguments: dict[str, int]) -> None:
    """Write the manifest, which vouches for everything else."""
    manifest = dict(
        mmext_toy_data=VERSION,
        arguments=arguments,
        files=folder.files,
        bytes=folder.size,
        digest=folder.digest)
    (folder.path / MANIFEST).write_bytes(to_json(manifest))


def _install(source: Path, target: Path, aside: Path, arguments: dict[str, int]) -> None:
    """Move a finished folder to its place, unless somebody else was faster with the same data."""
    if _read(target, arguments) is not None:
        return
    _refuse_strangers(target)
    with contextlib.suppress(FileNotFoundError):
        os.rename(target, aside)
    os.rename(source, target)

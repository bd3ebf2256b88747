"""What a user may ask to predict on: images, folders, globs and videos."""
from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import UserError, did_you_mean

IMAGE_SUFFIXES = frozenset(('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm',
                            '.pgm', '.jp2'))
VIDEO_SUFFIXES = frozenset(('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg'))


@dataclass(frozen=True)
class Source:
    """One file to predict on.

    Attributes:
        path: Where it is.
        name: Its place under an output folder: relative, without suffix, unique in one listing.
    """

    path: Path
    name: str


@dataclass
class Sources:
    """What :func:`find_sources` found.

    Attributes:
        images: Files that are to be read as images, whatever they turn out to be.
        videos: Files with a video's suffix.
        ignored: Number of files inside given folders that are neither.
    """

    images: list[Source] = field(default_factory=list)
    videos: list[Source] = field(default_factory=list)
    ignored: int = 0


def _walk(folder: Path, skip: Path | None) -> Iterator[Path]:
    """The files under ``folder`` in a stable order, without hidden ones and without ``skip``."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith('.')
                            and (skip is None or (Path(root) / name).resolve() != skip))
        yield from (Path(root) / name for name in sorted(files) if not name.startswith('.'))


def _unique(name: str, taken: set[str]) -> str:
    """``name``, or ``name_2``, ``name_3``, ... when it is taken."""
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f'{name}_{count}'
    taken.add(candidate)
    return candidate


def find_sources(inputs: Iterable[str | Path], skip: Path | None = None) -> Sources:
    """List the images and videos that paths, folders and globs stand for.

    Folders are searched with their subfolders. A path that is given by name is listed even when it
    does not exist or is no image, so that it is reported rather than passed over.

    Args:
        inputs: Image or video files, folders, or glob patterns (``**`` matches subfolders).
        skip: A folder not to enter, usually the one that results are written to.

    Returns:
        The files, sorted within each folder.

    Raises:
        UserError: If there is nothing to do: no input, an empty folder, a glob without a match.
    """
    skip = skip.resolve() if skip is not None else None
    sources, taken = Sources(), set[str]()

    def add(path: Path, relative: Path) -> None:
        kind = sources.videos if path.suffix.lower() in VIDEO_SUFFIXES else sources.images
        kind.append(Source(path, _unique(relative.with_suffix('').as_posix(), taken)))

    inputs = list(inputs)
    for entry in inputs:
        path = Path(entry).expanduser()
        if path.is_dir():
            for file in _walk(path, skip):
                if file.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
                    add(file, file.relative_to(path))
                else:
                    sources.ignored += 1
        elif not path.exists() and glob.has_magic(str(path)):
            matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
            for match in matches:
                if match.is_file():
                    add(match, Path(match.name))
        else:
            add(path, Path(path.name))
    if not sources.images and not sources.videos:
        raise UserError(_nothing(inputs, sources.ignored))
    return sources


def _nothing(inputs: list[str | Path], ignored: int) -> str:
    shown = ', '.join(f"'{entry}'" for entry in inputs) or 'no input'
    skipped = f' ({ignored} other files)' if ignored else ''
    return (f'nothing to predict on: {shown} has no image or video{skipped}; expected files, '
            f'folders or globs of {", ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))}')


def why_unreadable(path: Path) -> str:
    """A reason, for a person, why an image could not be read."""
    if not path.exists():
        names = (entry.name for entry in path.parent.glob('*')) if path.parent.is_dir() else ()
        return f'no such file{did_you_mean(path.name, names)}'
    if path.is_dir():
        return 'is a folder'
    try:
        size = path.stat().st_size
    except OSError as error:
        return str(error)
    return 'empty file' if not size else 'not an image, or corrupt'


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """The frames of a video.

    Args:
        path: A file that OpenCV can decode.

    Yields:
        Frames, HWC, BGR, uint8.

    Raises:
        ValueError: If not even one frame can be read.
    """
    import cv2
    video = cv2.VideoCapture(str(path))
    try:
        readable, frame = video.read()
        if not readable:
            raise ValueError(why_unreadable(path).replace('an image', 'a video'))
        while readable:
            yield frame
            readable, frame = video.read()
    finally:
        video.release()

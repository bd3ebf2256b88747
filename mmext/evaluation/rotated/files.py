"""DOTA's files: labels of whole pictures in, Task 1 submissions out."""
from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import UserError, did_you_mean
from .matching import Found, Objects
from .polygons import corners_of


def read_labels(folder: str | Path, classes: Sequence[str], hardest: int) -> tuple[list[str], Objects]:
    """The ground truth of whole pictures from DOTA's ``labelTxt``.

    Args:
        folder: Of ``PICTURE.txt`` files: eight coordinates, class, difficulty a line; other lines,
            such as the header of two, are left out.
        classes: Names of the classes.
        hardest: Objects of a greater difficulty are marked as difficult.

    Returns:
        The pictures' names, sorted, and the objects with (N, 8) boxes.

    Raises:
        UserError: If the folder has no such files, or a line an unknown class or no numbers.
    """
    files = sorted(Path(folder).glob('*.txt'))
    if not files:
        raise UserError(f"ann_file: there are no .txt files in '{folder}'")
    number = {name: i for i, name in enumerate(classes)}
    rows: list[tuple[int, int, bool]] = []
    corners: list[list[float]] = []
    for image, file in enumerate(files):
        for at, line in enumerate(file.read_text(encoding='utf-8').splitlines(), 1):
            words = line.split()
            if len(words) < 9:
                continue
            if words[8] not in number:
                raise UserError(f"{file}:{at}: class '{words[8]}' is none of the data set's"
                                f'{did_you_mean(words[8], classes)}')
            try:
                corners.append([float(word) for word in words[:8]])
                rows.append((image, number[words[8]], int((words[9:] or ['0'])[0]) > hardest))
            except ValueError:
                raise UserError(f'{file}:{at}: expected eight numbers, a class and a difficulty, got '
                                f"'{line.strip()}'") from None
    columns = np.array(rows, np.int64).reshape(-1, 3)
    return [file.stem for file in files], Objects(
        columns[:, 0], columns[:, 1], np.array(corners, np.float32).reshape(-1, 8),
        columns[:, 2].astype(bool))


def write_task1(folder: Path, pictures: Sequence[str], found: Found, classes: Sequence[str],
                replace: bool = False) -> Path:
    """Write ``Task1_CLASS.txt`` for every class and an archive of them, ready to submit.

    Scores keep every digit that they have: the server ranks all detections of a class by them, so
    two equal ones lose what the model knew. Coordinates have two decimals.

    Args:
        folder: Is made; the archive in it has its name.
        pictures: Names by number.
        found: The detections.
        classes: Names of the classes.
        replace: Put the files in the place of those in ``folder``.

    Returns:
        The archive.

    Raises:
        UserError: If ``folder`` exists and is not to be replaced.
    """
    if folder.exists() and not replace:
        raise UserError(f"'{folder}' is there already; remove it or choose another outfile_prefix")
    temporary, old = (folder.with_name(f'.{folder.name}.{os.getpid()}.{end}') for end in ('tmp', 'old'))
    temporary.mkdir(parents=True)
    try:
        names = []
        corners = corners_of(found.boxes).reshape(-1, 8)
        for label, name in enumerate(classes):
            rows = np.flatnonzero(found.label == label)
            lines = (' '.join([pictures[found.image[row]], _digits(found.scores[row]),
                               *(f'{value:.2f}' for value in corners[row])]) + '\n' for row in rows)
            names.append(f'Task1_{name}.txt')
            (temporary / names[-1]).write_text(''.join(lines), encoding='utf-8')
        archive = f'{folder.name}.zip'
        with zipfile.ZipFile(temporary / archive, 'w', zipfile.ZIP_DEFLATED) as out:
            for one in names:
                out.write(temporary / one, one)
        if folder.exists():
            os.replace(folder, old)
        os.replace(temporary, folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder / archive


def _digits(score: np.float32) -> str:
    """The shortest decimal number that is this score and no other of single precision."""
    return np.format_float_positional(np.float32(score), unique=True, trim='0')

"""Which checkpoint to resume from: the newest one that is whole."""
from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

from .saving import read_manifest

POINTER = 'last_checkpoint'
_STEP = re.compile(r'(?:epoch|iter)_(\d+)\.pth$')


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint file, or None if it is whole.

    A file that ``checkpoints.json`` lists is compared with its size and SHA-256; of another one the
    archive's own checksums are verified. Nothing in it is executed.
    """
    if not path.is_file():
        return 'is not there'
    known = read_manifest(path.parent).get(path.name)
    if known is not None:
        size = path.stat().st_size
        if size != known.size:
            return f'has {size} bytes of {known.size}'
        with path.open('rb') as file:
            # file_digest came with Python 3.11
            digest = hashlib.sha256()
            for block in iter(lambda: file.read(1 << 20), b''):
                digest.update(block)
        return None if digest.hexdigest() == known.sha256 else 'has other content than was written'
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, OSError):
        return 'is truncated or not a checkpoint'
    return f'is damaged (at {broken})' if broken else None


def _step(path: Path) -> int:
    found = _STEP.search(path.name)
    return int(found[1]) if found else -1


def candidates(work_dir: Path) -> list[Path]:
    """Checkpoints of a run, the one to try first in front.

    The one that ``last_checkpoint`` names leads, behind any that was finished after it (a process
    killed between renaming the file and writing the pointer); older ones follow, newest first.
    """
    pointer = work_dir / POINTER
    text = pointer.read_text().strip() if pointer.is_file() else ''
    named = Path(text) if text else None
    if named is not None and not named.exists() and (work_dir / named.name).exists():
        named = work_dir / named.name  # the work directory was moved
    folder = named.parent if named is not None and named.parent.is_dir() and named.name else work_dir
    files = {path for path in [*folder.glob('*.pth'), *work_dir.glob('*.pth')] if _step(path) >= 0}
    # mmengine's sharded checkpoints are folders, which only their own strategy can judge.
    others = sorted(files - {named}, key=_step, reverse=True)
    if named is None:
        return others
    if not named.exists():
        return [named, *others]
    time = named.stat().st_mtime_ns
    unsaid = [path for path in others
              if _step(path) > _step(named) and path.stat().st_mtime_ns >= time]
    return [*unsaid, named, *(path for path in others if path not in unsaid)]


def newest_checkpoint(work_dir: str | Path) -> tuple[Path | None, list[str]]:
    """The newest whole checkpoint of a run.

    Args:
        work_dir: Where the run wrote ``last_checkpoint``.

    Returns:
        The file, None if there is no whole one, and a line for each one passed over.
    """
    passed: list[str] = []
    for path in candidates(Path(work_dir)):
        problem = None if path.is_dir() else damage(path)
        if problem is None:
            return path, passed
        passed.append(f'{path} {problem}')
    return None, passed

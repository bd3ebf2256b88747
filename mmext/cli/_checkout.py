"""For commands that write into the repository: where it is, and writing all or nothing."""
from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import UserError

#: What tells a checkout from an installed package.
LANDMARKS = ('mmext/catalogue.py', 'configs', 'tests', 'setup.cfg')


def find_checkout(root: Path | None = None) -> Path:
    """The root of the repository.

    Args:
        root: Where the user says it is; by default the checkout that the current folder is in, or
            else the one that this package was imported from.

    Raises:
        UserError: If there is no checkout of mmext; the message names what is missing.
    """
    if root is not None:
        places = [root.resolve()]
    else:
        here = Path.cwd()
        places = [here, *here.parents, Path(__file__).resolve().parents[2]]
    for folder in places:
        if not _missing(folder):
            return folder
    folder = places[-1]
    origin = '' if root else ' (mmext is imported from there, an installed copy)'
    raise UserError(f'{folder} is not a checkout of mmext{origin}: no {", ".join(_missing(folder))}\n'
                    'Clone the repository, and run this in it or with --root CHECKOUT.')


def _missing(folder: Path) -> list[str]:
    return [name for name in LANDMARKS if not (folder / name).exists()]


def write_all(texts: Mapping[Path, str]) -> None:
    """Write every file or, if one cannot be written, none.

    Each file is written beside its place first; then all are renamed. If that fails half-way, files
    that were replaced get their old content back and new ones, with the folders made for them, go.

    Raises:
        UserError: If a file cannot be written.
    """
    before = {path: path.read_bytes() if path.exists() else None for path in texts}
    folders = _make_folders(path.parent for path in texts)
    temporary: dict[Path, str] = {}
    replaced: list[Path] = []
    try:
        for path, text in texts.items():
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
            temporary[path] = name
            with os.fdopen(handle, 'w', encoding='utf-8') as file:
                file.write(text)
            # mkstemp makes private files; these get the mode of what they replace or of new ones
            mode = path.stat().st_mode & 0o777 if before[path] is not None else 0o666 & ~_umask()
            os.chmod(name, mode)
        for path, name in temporary.items():
            os.replace(name, path)
            replaced.append(path)
    except OSError as error:
        for path in replaced:
            content = before[path]
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content)
        raise UserError(f'nothing was written: {error}') from None
    finally:
        for name in temporary.values():
            Path(name).unlink(missing_ok=True)
        for folder in reversed(folders):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _make_folders(folders: Iterable[Path]) -> list[Path]:
    """Create folders that are missing; returns them, outer before inner."""
    made: list[Path] = []
    for folder in folders:
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        for one in reversed(missing):
            try:
                one.mkdir()
            except OSError as error:
                for done in reversed(made):
                    done.rmdir()
                raise UserError(f'nothing was written: {error}') from None
            made.append(one)
    return made


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask

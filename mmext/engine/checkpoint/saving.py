"""Writing checkpoints so that a crash at any moment leaves a whole one.

The file is streamed to a temporary name, flushed to disk and renamed. Its size and SHA-256 go into
``checkpoints.json`` beside it, by which a later resume tells a whole file from a damaged one.
"""
from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = 'checkpoints.json'
UNFINISHED = '.unfinished'  # how the temporary names end


class Written(NamedTuple):
    """What was written: its size in bytes and its SHA-256 in hexadecimal."""

    size: int
    sha256: str


@contextmanager
def durable_file(path: Path) -> Iterator[IO[bytes]]:
    """An open binary file that becomes ``path`` when the block ends without an error.

    Until then ``path`` keeps what it had; after an error the temporary file is gone.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.', suffix=UNFINISHED)
    try:
        with os.fdopen(handle, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; a checkpoint gets the mode any new file would have.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the file system knows how."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


class _Hashing:
    """A file that torch.save writes to, which counts and hashes what passes."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self._hash, self.size, self.name = file, hashlib.sha256(), 0, name

    def write(self, data: Any) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def written(self) -> Written:
        return Written(self.size, self._hash.hexdigest())


def write_checkpoint(content: Any, path: str | Path) -> Written:
    """Write what :func:`torch.save` would, atomically, and note its digest in the manifest.

    Unlike mmengine's writer it holds no second copy of the file in memory.

    Args:
        content: What to save.
        path: The final name; a file of that name stays until the new one is whole.

    Raises:
        OSError: If the disk is full or the folder cannot be written; nothing is changed then.
    """
    import torch

    path = Path(path)
    with durable_file(path) as file:
        sink = _Hashing(file, str(path))
        try:
            torch.save(content, sink)  # type: ignore[arg-type]
        except RuntimeError as error:
            # torch hides the disk's own error behind one about its archive.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
        written = sink.written
    _note(path, written)
    return written


def write_weights(state: Mapping[str, Tensor], path: str | Path,
                  about: Mapping[str, str] | None = None) -> None:
    """Write weights alone, atomically.

    Args:
        state: A state dict.
        path: Ends in ``.safetensors``, which any tool reads without running code and many times
            faster, or in ``.pth``, as the hosts write them.
        about: What to say of them; kept in the file.

    Raises:
        OSError: If the disk is full or the folder cannot be written; nothing is changed then.
    """
    import torch
    from safetensors.torch import save

    path = Path(path)
    with durable_file(path) as file:
        if path.suffix == '.safetensors':
            # Copies, because safetensors refuses tensors that share memory.
            file.write(save({key: value.contiguous().clone() for key, value in state.items()},
                            dict(about or {})))
        else:
            torch.save(dict(state_dict=dict(state), meta=dict(about or {})), file)


def read_manifest(folder: Path) -> dict[str, Written]:
    """What is known of the checkpoints in ``folder``, by file name; empty if nothing is."""
    try:
        rows = json.loads((folder / MANIFEST).read_text())
        return {name: Written(row['size'], row['sha256']) for name, row in rows.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _note(path: Path, written: Written) -> None:
    known = read_manifest(path.parent) | {path.name: written}
    rows = {name: row._asdict() for name, row in sorted(known.items()) if (path.parent / name).exists()}
    with durable_file(path.parent / MANIFEST) as file:
        file.write(json.dumps(rows, indent=1).encode())

"""Checkpoints are data: they are read with ``weights_only=True`` or as safetensors.

A pickled file may run any code when it is read. torch's safe reader refuses everything but tensors
and plain containers; the few classes that mmengine itself puts into a training checkpoint are
allowed by name.
"""
from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import IO, Any

import torch

from ...errors import UserError, did_you_mean

# Keys under which authors keep the weights proper, in the order they are tried.
_STATE_KEYS = ('state_dict', 'model', 'state_dict_ema', 'model_ema', 'net', 'module')


def _history_method(owner: Any, name: str) -> Any:
    """Stands in for ``getattr``, by which a pickled HistoryBuffer refers to its own methods."""
    from mmengine.logging.history_buffer import HistoryBuffer
    if owner is not HistoryBuffer or name.startswith('_'):
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL getattr({owner}, {name!r})')
    return getattr(HistoryBuffer, name)


# torch looks allowed functions up under their own name.
_history_method.__module__ = 'builtins'
_history_method.__name__ = _history_method.__qualname__ = 'getattr'


def _allowed_globals() -> list[Any]:
    """What mmengine's own checkpoints contain beside tensors: log histories and numpy scalars."""
    import numpy as np
    from mmengine.logging.history_buffer import HistoryBuffer

    core = np._core if hasattr(np, '_core') else np.core
    return [
        HistoryBuffer, _history_method, np.ndarray, np.dtype, core.multiarray._reconstruct,
        core.multiarray.scalar,
        *{type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64, np.uint32,
                                            np.bool_)}
    ]


def load_file(file: str | Path | IO[bytes],
              map_location: Any = None,
              weights_only: bool | None = None,
              *,
              trust: bool = False) -> Any:
    """Read a checkpoint file without running code from it.

    Args:
        file: Path of a ``.pth`` / ``.pt`` or ``.safetensors`` file, or an open binary file.
        map_location: As for :func:`torch.load`.
        weights_only: Taken for the host's signature; ``False`` does not loosen anything.
        trust: Read files that the safe reader refuses. Only for files whose origin you know.

    Returns:
        What was saved: usually a dict.

    Raises:
        UserError: If the file is absent, is not a checkpoint or could only be read by running
            code from it.
    """
    if isinstance(file, str | Path):
        path = Path(file).expanduser()
        if not path.is_file():
            siblings = [entry.name for entry in path.parent.glob('*')] if path.parent.is_dir() else []
            raise UserError(f'checkpoint not found: {path}{did_you_mean(path.name, siblings)}')
        if path.suffix == '.safetensors':
            from safetensors import SafetensorError
            from safetensors.torch import load_file as load_safetensors
            device = map_location if isinstance(map_location, str) else 'cpu'
            try:
                return load_safetensors(path, device=device)
            except SafetensorError as error:
                raise UserError(f'{path}: not a readable checkpoint (no safetensors file: {error})') from None
        file = path
    try:
        with torch.serialization.safe_globals(_allowed_globals()):
            return torch.load(file, map_location=map_location, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError,
            AttributeError) as error:  # what torch's reader comes upon in files of other kinds
        if trust:
            return torch.load(file, map_location=map_location, weights_only=False)
        raise UserError(_refusal(file, error)) from None


def _refusal(file: Path | IO[bytes], error: Exception) -> str:
    name = getattr(file, 'name', file) if not isinstance(file, Path) else file
    text = str(error)
    if 'Unsupported global' in text or 'GLOBAL' in text:
        culprit = text.split('GLOBAL ')[-1].split()[0] if 'GLOBAL ' in text else 'a foreign class'
        return (f'{name}: refused, reading it would run code ({culprit}). If you know where the '
                'file comes from, pass --trust-checkpoint, or save its tensors as safetensors.')
    why = 'not what torch.save writes' if 'Weights only load failed' in text else \
        text.partition('\n')[0] or repr(error)
    return f'{name}: not a readable checkpoint ({why})'


def load_url(url: str,
             model_dir: str | None = None,
             map_location: Any = None,
             progress: bool = True,
             *,
             trust: bool = False) -> Any:
    """Download a checkpoint once into the cache, then read it as :func:`load_file` does.

    Args:
        url: Where the file is.
        model_dir: Cache folder; torch hub's by default.
        map_location: As for :func:`torch.load`.
        progress: Show a progress bar.
        trust: As for :func:`load_file`.

    Raises:
        UserError: If the download fails or the file is refused.
    """
    folder = Path(model_dir or os.path.join(torch.hub.get_dir(), 'checkpoints'))
    path = folder / Path(url.split('?')[0]).name
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), progress=progress)
        except (OSError, RuntimeError) as error:
            raise UserError(f'cannot download {url} ({error}). Get the file by other means and put '
                            f'it at {path}, or give a local path instead.') from None
    return load_file(path, map_location, trust=trust)


def load_state(path: str | Path, *, trust: bool = False) -> dict[str, torch.Tensor]:
    """The weights in a file, on the CPU, whatever their authors wrapped them in.

    Args:
        path: A ``.pth`` / ``.pt`` or ``.safetensors`` file, or the URL of one: a flat state dict, or a
            dict that holds one under a usual key (``state_dict``, ``model``, ...).
        trust: As for :func:`load_file`.

    Returns:
        Flat mapping from key to tensor; a leading ``module.`` (left by DDP) is removed.

    Raises:
        UserError: If the file cannot be read or holds no weights.
    """
    remote = '://' in str(path)
    content = load_url(str(path), None, 'cpu', trust=trust) if remote else load_file(path, 'cpu', trust=trust)
    for key in _STATE_KEYS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    state = content if isinstance(content, dict) else {}
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f'{path}: no weights found; expected a state dict, alone or under one of '
                        f'{", ".join(_STATE_KEYS)}')
    if all(key.startswith('module.') for key in state):
        state = {key.removeprefix('module.'): value for key, value in state.items()}
    return dict(state)

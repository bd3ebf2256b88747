"""Where the data sets of ``configs/_base_/datasets`` are looked for, and what to do if absent."""
from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .build import FORMATS, MANIFEST

#: Environment variable that names the toy data's folder; configs read it too.
ROOT_VARIABLE = 'MMEXT_TOY_DATA'
#: The folder when the variable is not set, relative to the current directory.
DEFAULT_ROOT = 'data/toy'
#: The same for the small real sets: a folder that holds those of ``REAL_SETS``.
REAL_VARIABLE = 'MMEXT_REAL_DATA'
REAL_DEFAULT_ROOT = 'data'
REAL_SETS = ('tiny_coco', 'dota_sample', 'ade20k_sample')

_TOOL = 'python tools/dataset_converters/make_toy_data.py'


def default_root() -> Path:
    """Where configs look for the toy data: ``$MMEXT_TOY_DATA`` or ``data/toy``."""
    return Path(os.environ.get(ROOT_VARIABLE, DEFAULT_ROOT))


def missing(cfg: Any) -> str | None:
    """What to tell a user whose config needs toy data, or a small real set, that is not there.

    Args:
        cfg: An mmengine ``Config`` or anything made of dicts and lists.

    Returns:
        None when nothing of the kind is missing. Other data sets are not looked at.
    """
    toy_root = default_root()
    real_root = Path(os.environ.get(REAL_VARIABLE, REAL_DEFAULT_ROOT))
    # The variable of an inherited file is no data set.
    parts = [value for key, value in cfg.items() if key != 'data_root'] if hasattr(cfg, 'items') else cfg
    for path in dict.fromkeys(_data_roots(parts)):
        if path.parent == toy_root and path.name in FORMATS and not (path / MANIFEST).is_file():
            command = _TOOL
            if path.parent != Path(DEFAULT_ROOT):
                command += f' --root {shlex.quote(str(path.parent))}'
            return f"the toy data '{path}' is not there; make it with: {command}"
        if path.parent == real_root and path.name in REAL_SETS and not path.is_dir():
            return (f"the data set '{path}' is not there; set {REAL_VARIABLE} to the folder that "
                    f'holds {", ".join(REAL_SETS)}')
    return None


def _data_roots(node: Any) -> Iterator[Path]:
    """Every ``data_root`` in a tree of dicts and lists."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == 'data_root' and isinstance(value, str):
                yield Path(value)
            else:
                yield from _data_roots(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _data_roots(value)
    elif hasattr(node, '_cfg_dict'):
        yield from _data_roots(node._cfg_dict)

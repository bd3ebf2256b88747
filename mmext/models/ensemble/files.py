"""The calibration file: JSON, versioned, written whole or not at all, checked when read."""
from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np

from ...apis.writers import replacing
from ...errors import UserError

FORMAT = 'mmext PRAE calibration'
VERSION = 1
_KEYS = ('config', 'detector_names', 'class_names', 'class_objects', 'selection', 'count', 'reward', 'table')


def write_calibration(path: Path, content: dict[str, Any]) -> Path:
    """Write ``content`` (see :data:`_KEYS`) with the format's name and version."""
    text = json.dumps(dict(format=FORMAT, version=VERSION, **content))
    with replacing(path) as temporary:
        temporary.write_text(text + '\n', encoding='utf-8')
    return path


def read_calibration(path: Path) -> dict[str, Any]:
    """The content of a calibration file.

    Raises:
        UserError: If it cannot be read, is something else, of another version, or its parts do not fit
            each other.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f'{path}: not a calibration file: {error}') from None
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        raise UserError(f"{path}: not a calibration file (no format '{FORMAT}'); make one with "
                        'mmext ensemble fit')
    if content.get('version') != VERSION:
        raise UserError(f"{path}: version {content.get('version')!r} of the calibration file, this mmext "
                        f'reads version {VERSION}; fit again')
    missing = [key for key in _KEYS if key not in content]
    if missing:
        raise UserError(f"{path}: incomplete, it has no {', '.join(missing)}")
    _check_config(path, content['config'])
    config = content['config']
    shape = (len(content['detector_names']), len(content['class_names']),
             len(config.get('area_edges', ())) + 1, config.get('num_bins', 20))
    for key in ('count', 'reward', 'table'):
        try:
            values = np.asarray(content[key], np.float64)
        except (TypeError, ValueError):
            raise UserError(f'{path}: {key} is not a table of numbers') from None
        if values.shape != shape or not np.isfinite(values).all():
            raise UserError(f'{path}: {key} has shape {values.shape}, expected finite numbers of shape '
                            f'{shape} (detectors, classes, areas, scores)')
    if len(content['class_objects']) != shape[1]:
        raise UserError(f"{path}: class_objects has {len(content['class_objects'])} of {shape[1]} classes")
    return content


def _check_config(path: Path, config: Any) -> None:
    from .calibrator import PRAECalibrator

    known = set(inspect.signature(PRAECalibrator).parameters) - {'file'}
    if not isinstance(config, dict) or set(config) - known:
        raise UserError(f'{path}: config has settings that this mmext does not know: '
                        f'{sorted(set(config) - known) if isinstance(config, dict) else config!r}')

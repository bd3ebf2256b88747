"""Reliability diagrams of the calibration that a run's config names."""
from __future__ import annotations

import io
import re
from pathlib import Path

from ..errors import UserError
from .record import Record

_NAMED = re.compile(r"""calibrat(?:or|ion)\s*=\s*(?:dict\([^)]*?path\s*=\s*)?['"]([^'"]+\.json)['"]""")


def calibration_diagrams(record: Record) -> list[dict[str, object]]:
    """A picture for each calibration file that the config names and that is still there and whole.

    Args:
        record: Of an ensemble, or of a model whose NMS is P-NMS.

    Returns:
        ``path`` and ``jpeg`` of each.
    """
    found = []
    for path in dict.fromkeys(_NAMED.findall(record.config_text)):
        if not Path(path).is_file():
            continue
        from ..models.ensemble.calibrator import PRAECalibrator
        from ..models.ensemble.plots import reliability_figure
        try:
            figure = reliability_figure(PRAECalibrator.load(path))
        except UserError:
            continue
        buffer = io.BytesIO()
        figure.savefig(buffer, format='jpeg', dpi=100)
        found.append(dict(path=path, jpeg=buffer.getvalue()))
    return found

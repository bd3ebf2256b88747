"""Reliability diagrams: what each score of each detector is worth."""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...apis.writers import replacing
from ...errors import UserError
from .calibrator import PRAECalibrator

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def reliability(calibrator: PRAECalibrator, detector: int, label: int | None = None
                ) -> tuple[np.ndarray, np.ndarray]:
    """Mean reward and number of the detections in each score bin.

    Args:
        calibrator: A fitted one.
        detector: Its number.
        label: A class; None for all.

    Returns:
        (K, ) mean rewards, NaN where there is no detection, and (K, ) counts.

    Raises:
        UserError: If nothing has been fitted.
    """
    if calibrator.count is None or calibrator.reward is None:
        raise UserError('reliability: the calibrator has not been fitted')
    rows = slice(None) if label is None else slice(label, label + 1)
    count = calibrator.count[detector, rows].sum(axis=(0, 1))
    reward = calibrator.reward[detector, rows].sum(axis=(0, 1))
    return np.divide(reward, count, out=np.full(len(count), np.nan), where=count > 0), count


def calibration_error(calibrator: PRAECalibrator, detector: int) -> float:
    """Mean distance of score and worth over a detector's detections, 0 to 1 (expected calibration error)."""
    value, count = reliability(calibrator, detector)
    centres = (np.arange(len(count)) + 0.5) / len(count)
    return float((np.abs(np.nan_to_num(value) - centres) * count).sum() / max(count.sum(), 1))


def reliability_figure(calibrator: PRAECalibrator) -> Figure:
    """One diagram for each detector: worth against score, how many there are, the classes behind.

    On the dashed line a score is the share of right detections. The line is the detector over all
    classes, the grey ones are its classes, bars (logarithmic) count detections.

    Args:
        calibrator: A fitted one.

    Raises:
        UserError: If nothing has been fitted.
    """
    from matplotlib.figure import Figure

    names = calibrator.detector_names
    values = [reliability(calibrator, number) for number in range(len(names))]
    columns = max(min(len(names), 4), 1)
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.4 * lines), dpi=150, layout='constrained')
    bins = calibrator.num_bins
    centres = (np.arange(bins) + 0.5) / bins
    most = max((count.max() for _, count in values), default=1)
    for number, (name, (worth, count)) in enumerate(zip(names, values)):
        axes = figure.add_subplot(lines, columns, number + 1)
        behind = axes.twinx()
        behind.bar(centres, count, width=0.9 / bins, color='#dfe6f5', log=True)
        behind.set_ylim(0.8, max(most, 1) * 100)
        behind.tick_params(labelsize=7, colors='#8090b0')
        axes.set_zorder(behind.get_zorder() + 1)
        axes.patch.set_visible(False)
        for label in range(min(len(calibrator.class_names), 80)):
            axes.plot(centres, reliability(calibrator, number, label)[0], color='#b8b8b8', lw=0.5, alpha=0.6)
        axes.plot([0, 1], [0, 1], '--', color='#808080', lw=0.8)
        axes.plot(centres, worth, color='#4269d0', lw=1.8, marker='o', ms=3)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_title(f'{name}, calibration error {calibration_error(calibrator, number):.3f}', fontsize=9)
        axes.set_xlabel('score', fontsize=8)
        axes.set_ylabel('share of right detections', fontsize=8)
        axes.tick_params(labelsize=7)
    return figure


def draw_reliability(calibrator: PRAECalibrator, path: Path) -> None:
    """Write :func:`reliability_figure`.

    Args:
        calibrator: A fitted one.
        path: Image file to write.

    Raises:
        UserError: If nothing has been fitted.
    """
    figure = reliability_figure(calibrator)
    with replacing(path) as temporary:
        figure.savefig(temporary)

"""P-NMS of a single model: ``nms=dict(type='p_nms(idxs)', ...)`` in its test_cfg."""
from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...errors import UserError, did_you_mean

if TYPE_CHECKING:
    from ...models.ensemble.calibrator import PRAECalibrator


@functools.lru_cache(maxsize=8)
def _calibration(path: str, changed: int) -> PRAECalibrator:
    from ...models.ensemble.calibrator import PRAECalibrator
    return PRAECalibrator.load(path)


def _load(path: str) -> PRAECalibrator:
    try:
        return _calibration(path, Path(path).stat().st_mtime_ns)
    except FileNotFoundError:
        raise UserError(f"nms: there is no calibration '{path}'; make one with mmext ensemble fit") from None


class _PNMS:
    """What ``mmcv.ops.batched_nms`` calls: once, or once for each class where boxes are many."""

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels
        self._classes = iter(torch.unique(labels))

    def __call__(self, boxes: Tensor, scores: Tensor, iou_threshold: float, calibration: str,
                 detector: str | None = None, max_num: int = -1) -> tuple[Tensor, Tensor]:
        from mmcv.ops import nms, nms_rotated

        from ...models.ensemble.columns import Detections

        calibrator = _load(str(calibration))
        names = calibrator.detector_names
        if detector is None and len(names) == 1:
            detector = names[0]
        if detector not in names:
            raise UserError(f"nms: detector={detector!r} is none of the calibration's, {', '.join(names)}"
                            f"{did_you_mean(detector or '', names)}")
        if boxes.size(0) == self.labels.size(0):
            labels = self.labels
        else:  # more boxes than split_thr: batched_nms goes through the classes, in ascending order
            labels = next(self._classes).expand(boxes.size(0))
        raw = scores.detach().double().cpu().numpy()
        refined = calibrator.refine(Detections.of(
            np.zeros(len(raw)), np.full(len(raw), names.index(detector)), labels.cpu().numpy(),
            boxes.detach().cpu().numpy(), raw))
        # Ranks instead of scores: no two are equal, so that every device keeps the same boxes.
        order = np.lexsort((-raw, -refined))
        rank = np.empty(len(order), np.float32)
        rank[order] = -np.arange(len(order), dtype=np.float32)
        kernel = nms if boxes.size(-1) == 4 else nms_rotated
        _, keep = kernel(boxes.float(), torch.from_numpy(rank).to(boxes.device), iou_threshold)
        if max_num > 0:
            keep = keep[:max_num]
        kept = torch.from_numpy(refined).to(scores)[keep]
        return torch.cat([boxes[keep], kept[:, None]], dim=-1), keep


def p_nms(idxs: Tensor, *args: Any, **options: Any) -> _PNMS:
    """P-NMS for ``test_cfg``: refine the scores by a calibration, rank, suppress, return refined scores.

    ``mmcv.ops.batched_nms`` evaluates ``nms['type']`` where its labels are called ``idxs``; mmext makes
    this function known there, so a config says ``type='p_nms(idxs)'``. The other keys of ``nms`` are
    ``iou_threshold``, ``calibration`` (a file of ``mmext ensemble fit``), ``detector`` (which of the
    file's, if it has several) and ``max_num``.

    Args:
        idxs: (N, ) labels.

    Raises:
        UserError: If the config says ``type='p_nms'``, without the labels; when called, for a
            calibration that cannot be read or has no such detector.

    Example:
        >>> dict(test_cfg=dict(nms=dict(type='p_nms(idxs)', iou_threshold=0.6, calibration='prae.json')))
    """
    if args or options:
        raise UserError("nms: type='p_nms' does not see the labels; write type='p_nms(idxs)'")
    return _PNMS(idxs)

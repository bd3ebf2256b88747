"""Fusion of several detectors' results: refine the scores, rank, suppress or merge."""
from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ...errors import UserError, did_you_mean
from ...registry import TASK_UTILS
from .calibrator import PRAECalibrator
from .columns import Detections, group_of
from .methods import METHODS, Ranked

_BOXES_AT_ONCE = 200_000  # bounds the memory of the pairs


class Fused(NamedTuple):
    """What is left.

    Attributes:
        detections: Image by image, the best first.
        source: (N, ) int64, for each the row of the detection it descends from, for masks.
    """

    detections: Detections
    source: np.ndarray


@TASK_UTILS.register_module()
class PRAEFusion:
    """Fuses the detections of several detectors, image by image and class by class.

    With a calibrator detections are ranked by refined scores, else by their own. Order: refined score,
    raw score, then the order in which they are given.

    Args:
        nms: ``type`` and its options (see :mod:`mmext.models.ensemble.methods`): 'p_nms', or for
            comparison 'nms', 'soft_nms', 'nmw' (non-maximum weighted) and 'wbf' (weighted boxes fusion).
        max_per_img: So many detections an image at most; -1 means all.
        score_thr: Detections with a raw score below it are left out.

    Raises:
        UserError: For an unknown type or option.

    Example:
        >>> dict(type='mmext.PRAEFusion', nms=dict(type='p_nms', iou_threshold=0.5), max_per_img=100)
    """

    def __init__(self, nms: Mapping[str, Any] | None = None, max_per_img: int = -1,
                 score_thr: float = 0.0) -> None:
        options = dict(nms or {})
        self.method = options.pop('type', 'p_nms')
        if self.method not in METHODS:
            raise UserError(f"nms: type '{self.method}' is not one of {', '.join(METHODS)}"
                            f'{did_you_mean(str(self.method), METHODS)}')
        known = list(inspect.signature(METHODS[self.method]).parameters)[1:]
        for key in options:
            if key not in known:
                raise UserError(f"nms: {self.method} has no option '{key}'{did_you_mean(key, known)} "
                                f"(has {', '.join(known)})")
        if not 0 <= options.get('iou_threshold', 0.5) <= 1:
            raise UserError(f"nms: iou_threshold {options['iou_threshold']} must be 0 to 1")
        self.options = options
        self.max_per_img, self.score_thr = int(max_per_img), float(score_thr)

    def __call__(self, found: Detections, calibrator: PRAECalibrator | None = None,
                 detectors: int | None = None, progress: Callable[[int, int], None] | None = None) -> Fused:
        """Fuse.

        Args:
            found: Detections of any number of images, detector after detector.
            calibrator: Refines the scores.
            detectors: How many there are, if neither the calibrator nor the detections say so.
            progress: Is told how many detections are done, and of how many.

        Raises:
            UserError: If the detections are not of the calibration's detectors and classes.
        """
        raw = found.scores
        refined = calibrator.refine(found) if calibrator is not None else raw
        if calibrator is not None:
            detectors = len(calibrator.detector_names)
        detectors = detectors or int(found.detector.max(initial=0)) + 1
        used = np.flatnonzero(raw >= self.score_thr)
        order = used[np.lexsort((used, -raw[used], -refined[used], found.image[used]))]
        classes = int(found.label.max(initial=0)) + 1
        images = found.image[order]
        parts: list[Fused] = []
        start = 0
        while start < len(order):
            stop = int(np.searchsorted(images, images[min(start + _BOXES_AT_ONCE, len(order)) - 1], 'right'))
            rows = order[start:stop]
            parts.append(self._fuse(found, refined, rows, classes, detectors))
            start = stop
            if progress is not None:
                progress(start, len(order))
        if not parts:
            return Fused(found[:0], np.zeros(0, np.int64))
        return Fused(Detections.joined([part.detections for part in parts]),
                     np.concatenate([part.source for part in parts]))

    def _fuse(self, found: Detections, refined: np.ndarray, rows: np.ndarray, classes: int, detectors: int
              ) -> Fused:
        """The detections in ``rows``, which are sorted by image and rank."""
        image, label = found.image[rows], found.label[rows]
        ranked = Ranked(found.boxes[rows], refined[rows],
                        group_of(image - image[0], label, classes), found.detector[rows], detectors)
        boxes, scores, kept = METHODS[self.method](ranked, **self.options)
        source = rows[kept]
        order = np.lexsort((kept, -scores, image[kept]))
        if self.max_per_img > -1:
            sorted_image = image[kept][order]
            order = order[np.arange(len(order)) - np.searchsorted(sorted_image, sorted_image, 'left')
                          < self.max_per_img]
        source, boxes, scores = source[order], boxes[order], scores[order]
        return Fused(Detections(found.image[source], found.detector[source], found.label[source], boxes,
                                scores), source)

"""Detections of several detectors on many images as columns, and their checks."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from ...errors import UserError

#: Kinds of boxes by their number of columns.
KINDS = {4: 'x1, y1, x2, y2', 5: 'centre x, centre y, width, height, angle', 8: 'corners'}


@dataclass(frozen=True)
class Detections:
    """N detections of M detectors.

    The order matters where two scores are equal: list detector after detector.

    Attributes:
        image: (N, ) int64, number of the image.
        detector: (N, ) int64, number of the detector.
        label: (N, ) int64, number of the class.
        boxes: (N, 4) x1, y1, x2, y2, (N, 5) centre, width, height, angle, or (N, 8) corners; float64,
            pixels.
        scores: (N, ) float64, 0 to 1.
    """

    image: np.ndarray
    detector: np.ndarray
    label: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, rows: np.ndarray | slice) -> Detections:
        """The detections of these rows."""
        return Detections(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def of(cls, image: np.ndarray, detector: np.ndarray, label: np.ndarray, boxes: np.ndarray,
           scores: np.ndarray) -> Detections:
        """From anything that is like arrays, in the types above."""
        return cls(np.asarray(image, np.int64), np.asarray(detector, np.int64),
                   np.asarray(label, np.int64), np.asarray(boxes, np.float64),
                   np.asarray(scores, np.float64))

    @classmethod
    def joined(cls, parts: Sequence[Detections]) -> Detections:
        """One after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts])
                     for field in fields(cls)))

    def check(self, detectors: Sequence[str], classes: int, where: str = 'detections') -> None:
        """Refuse what cannot be.

        Args:
            detectors: The detectors' names.
            classes: Number of classes.
            where: What messages begin with.

        Raises:
            UserError: If columns differ in length, boxes are of no known kind, a box or score is not
                finite, a score is not from 0 to 1, or a label or detector does not exist.
        """
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) > 1:
            raise UserError(f'{where}: columns of different lengths: {lengths}')
        if self.boxes.ndim != 2 or self.boxes.shape[1] not in KINDS:
            raise UserError(f'{where}: boxes of shape {self.boxes.shape}, expected (N, 4), (N, 5) or '
                            '(N, 8)')
        if not len(self):
            return
        if not 0 <= self.detector.min() <= self.detector.max() < len(detectors):
            raise UserError(f'{where}: detector {self.detector.max()}, but there are {len(detectors)}')
        for name, bad in (
                ('a score', ~np.isfinite(self.scores)), ('a box', ~np.isfinite(self.boxes).all(axis=1))):
            if bad.any():
                raise UserError(f"{where}: {detectors[self.detector[bad.argmax()]]} has {name} that is "
                                f'not finite, {bad.sum()} in all; has training diverged?')
        bad = (self.scores < 0) | (self.scores > 1)
        if bad.any():
            row = bad.argmax()
            raise UserError(f'{where}: {detectors[self.detector[row]]} has a score of '
                            f'{self.scores[row]:g}, {bad.sum()} outside [0, 1] in all; calibration needs '
                            'probabilities: are these logits?')
        if not 0 <= self.label.min() <= self.label.max() < classes:
            raise UserError(f'{where}: labels {self.label.min()} to {self.label.max()}, but there are '
                            f'{classes} classes')


def group_of(image: np.ndarray, label: np.ndarray, classes: int) -> np.ndarray:
    """One number for each image and class: only within it do boxes compete."""
    return image * classes + label

"""What COCO prints: averages of one table of precisions and one of recalls."""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

AREA_RANGES = {
    'all': (0.0, 1e5**2),
    'small': (0.0, 32.0**2),
    'medium': (32.0**2, 96.0**2),
    'large': (96.0**2, 1e5**2),
}
"""Square pixels, both ends included."""


@dataclass(frozen=True)
class CocoTables:
    """Everything that COCO's figures are averages of; -1 where there is no object.

    Attributes:
        precision: (T, R, K, A, M) by IoU threshold, recall 0, 0.01 .. 1, category, area range
            (:data:`AREA_RANGES`) and limit of detections.
        recall: (T, K, A, M), the largest reached.
        scores: Like ``precision``: the score from which that recall is reached.
        thresholds: (T, ) IoU thresholds.
        limits: M numbers of detections per image, ascending.
        names: K category names.
    """

    precision: np.ndarray
    recall: np.ndarray
    scores: np.ndarray
    thresholds: np.ndarray
    limits: list[int]
    names: list[str]

    def ap(self, iou: float | None = None, area: str = 'all', limit: int | None = None,
           category: int | None = None) -> float:
        """Average precision, -1 if there is nothing to average.

        Args:
            iou: One of the thresholds; None averages over all.
            area: A key of :data:`AREA_RANGES`.
            limit: One of ``limits``; None means the largest.
            category: Position of one category; None averages over all.
        """
        return self._mean(self.precision, iou, area, limit, category)

    def ar(self, iou: float | None = None, area: str = 'all', limit: int | None = None,
           category: int | None = None) -> float:
        """Average recall; arguments as for :meth:`ap`."""
        return self._mean(self.recall, iou, area, limit, category)

    def _mean(self, table: np.ndarray, iou: float | None, area: str, limit: int | None,
              category: int | None) -> float:
        if iou is not None:
            table = table[self.thresholds == iou]
        column = len(self.limits) - 1 if limit is None else self.limits.index(limit)
        table = table[..., [list(AREA_RANGES).index(area)], [column]]
        if category is not None:
            table = table[..., category, :]
        values = table[table > -1]
        return float(np.mean(values)) if values.size else -1.0

    def figures(self) -> dict[str, float]:
        """The twelve figures by mmdet's names.

        The names of recalls count to 100, 300 and 1000 whatever the limits are, as mmdet's do.
        mAP is at 100 detections, or at the largest limit if 100 is none of them.
        """
        low, middle, high = self.limits[:3]
        return {
            'mAP': self.ap(limit=100 if 100 in self.limits else None),
            'mAP_50': self.ap(0.5, limit=high),
            'mAP_75': self.ap(0.75, limit=high),
            **{f'mAP_{area[0]}': self.ap(area=area, limit=high) for area in list(AREA_RANGES)[1:]},
            'AR@100': self.ar(limit=low),
            'AR@300': self.ar(limit=middle),
            'AR@1000': self.ar(limit=high),
            **{f'AR_{area[0]}@1000': self.ar(area=area, limit=high) for area in list(AREA_RANGES)[1:]},
        }

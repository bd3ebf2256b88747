"""Other numbers for the classes of a label map."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from ...errors import UserError
from ...registry import TRANSFORMS


@TRANSFORMS.register_module()
class Relabel(BaseTransform):
    """Change the labels of a segmentation map, for data sets that ignore another number than 255.

    Comes after ``LoadAnnotations``, whose ``reduce_zero_label`` is then done.

    Changes ``gt_seg_map``; where no map is loaded, as in inference, nothing.

    Args:
        labels: New label by old label.
        others: New label of all that ``labels`` lacks; None leaves them.

    Raises:
        UserError: If a label is not from 0 to 65535.

    Example:
        >>> Relabel({65: 255})  # Mapillary Vistas: 65 is unlabelled
    """

    def __init__(self, labels: Mapping[int, int], others: int | None = None) -> None:
        self.labels = {int(old): int(new) for old, new in labels.items()}
        self.others = others
        for label in (*self.labels, *self.labels.values(), 0 if others is None else others):
            if not 0 <= label < 65536:
                raise UserError(f'Relabel: label {label}; expected 0 to 65535')

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``gt_seg_map``, if there is one."""
        if 'gt_seg_map' not in results:
            return results
        old = results['gt_seg_map']
        size = max(int(old.max(initial=0)), *self.labels, 0) + 1
        table = np.arange(size) if self.others is None else np.full(size, self.others)
        for before, after in self.labels.items():
            table[before] = after
        results['gt_seg_map'] = table.astype(np.uint8 if table.max() < 256 else np.uint16)[old]
        return results

    def __repr__(self) -> str:
        return f'Relabel(labels={self.labels}, others={self.others})'

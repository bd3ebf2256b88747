"""All classes as one, to learn where objects are before what they are called."""
from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform

from ...registry import TRANSFORMS


@TRANSFORMS.register_module()
class MergeClasses(BaseTransform):
    """Every box gets the label 0 (the class-agnostic first stage of CGG).

    Required and modified key: ``gt_bboxes_labels``. Put it after the loading of annotations.
    """

    def transform(self, results: dict) -> dict:
        """Replace the labels."""
        results['gt_bboxes_labels'] = np.zeros_like(results['gt_bboxes_labels'])
        return results

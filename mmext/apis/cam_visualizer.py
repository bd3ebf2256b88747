"""Pictures of where a classifier looks, and of the box that comes of it."""
from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from mmpretrain.visualization import UniversalVisualizer

from ..errors import UserError
from ..registry import VISUALIZERS
from .seen_region import seen_region, to_picture

_PREDICTED, _TRUE = (255, 64, 64), (64, 255, 64)  # RGB


@VISUALIZERS.register_module()
class CAMVisualizer(UniversalVisualizer):
    """mmpretrain's visualizer; the map of the object lies over the picture, its box is red, true ones green.

    For samples of :class:`mmext.CICAMHead`, in training (``VisualizationHook``), ``mmext infer`` and
    ``mmext browse``. Other samples are drawn as mmpretrain does.

    Args:
        name: Of the instance, as in mmengine.
        heat: How much the map covers the picture, in [0, 1].
        kwargs: As for mmpretrain's UniversalVisualizer.

    Raises:
        UserError: If ``heat`` is out of range.

    Example:
        >>> visualizer = dict(type='mmext.CAMVisualizer', vis_backends=[dict(type='LocalVisBackend')])
    """

    def __init__(self, name: str = 'visualizer', heat: float = 0.4, **kwargs: Any) -> None:
        super().__init__(name, **kwargs)
        if not 0 <= heat <= 1:
            raise UserError(f'CAMVisualizer: heat={heat} must be in [0, 1]')
        self.heat = heat

    def visualize_cls(self, image: np.ndarray, data_sample: Any, *args: Any, draw_gt: bool = True,
                      draw_pred: bool = True, **kwargs: Any) -> Any:
        """See mmpretrain.

        Args:
            image: ``(H, W, 3)`` RGB: the picture as read, or the network's input.
            data_sample: With ``pred_cam`` and ``pred_box``, or without.
            draw_gt: Draw ``gt_bboxes`` and the true class.
            draw_pred: Draw the map, its box and the class found.
            args: For mmpretrain's.
            kwargs: For mmpretrain's.
        """
        image = np.ascontiguousarray(image)
        if draw_pred and 'pred_cam' in data_sample:
            image = self._with_map(image, data_sample)
        for wanted, key, colour in ((draw_gt, 'gt_bboxes', _TRUE), (draw_pred, 'pred_box', _PREDICTED)):
            if wanted and key in data_sample:
                for box in to_picture(data_sample.get(key), data_sample, image.shape).round().astype(int):
                    _frame(image, box.tolist(), colour)
        kwargs |= dict(draw_gt=draw_gt, draw_pred=draw_pred)
        return super().visualize_cls(image, data_sample, *args, **kwargs)

    def _with_map(self, image: np.ndarray, sample: Any) -> np.ndarray:
        cam = sample.pred_cam.detach().float().cpu().numpy()
        left, top, right, bottom = (round(side) for side in seen_region(sample, image.shape))
        level = np.clip(255 * cam / max(float(cam.max()), 1e-12), 0, 255).astype(np.uint8)
        level = cv2.resize(level, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
        colours = cv2.applyColorMap(level, cv2.COLORMAP_JET)[..., ::-1]
        result = image.copy()
        part = result[top:bottom, left:right]
        part[:] = ((1 - self.heat) * part + self.heat * colours).astype(np.uint8)
        return result


def _frame(image: np.ndarray, box: list[int], colour: tuple[int, int, int]) -> None:
    """Draw a box, whose ends are exclusive."""
    thickness = max(1, round(min(image.shape[:2]) / 128))
    cv2.rectangle(image, (box[0], box[1]), (box[2] - 1, box[3] - 1), colour, thickness)

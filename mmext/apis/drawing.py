"""Pictures of predictions and ground truth, through the hosts' own visualizers."""
from __future__ import annotations

import colorsys
import itertools
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .prediction import Prediction

# The visualizer of each host; a config of it that names none, or one that cannot draw a sample.
_DEFAULTS = dict(mmdet='mmdet.DetLocalVisualizer', mmrotate='mmrotate.RotLocalVisualizer',
                 mmseg='mmseg.SegLocalVisualizer', mmpretrain='mmpretrain.UniversalVisualizer')
_names = itertools.count()


def distinct_colours(count: int) -> list[tuple[int, int, int]]:
    """``count`` RGB colours, neighbours far apart, always the same ones."""
    golden = 0.618033988749895  # steps of the golden ratio never bunch up on the colour circle
    return [tuple(round(255 * part) for part in
                  colorsys.hsv_to_rgb(i * golden % 1, 0.65 + 0.3 * (i % 2), 0.95))  # type: ignore
            for i in range(count)]


def as_picture(image: np.ndarray) -> np.ndarray:
    """Any image that a loader returns as HWC BGR uint8: the first three channels, or grey."""
    if image.ndim == 2 or image.shape[2] == 1:
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    elif image.shape[2] == 2:
        image = image[..., [0, 0, 0]]
    image = image[..., :3]
    if image.dtype == np.uint16:
        image = image // 257
    return np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8))


class Painter:
    """Draws data samples with the visualizer that a config names, or its host's own.

    Args:
        cfg: A whole config.
        dataset_meta: ``classes`` and ``palette``; colours are made up where they are missing.
    """

    def __init__(self, cfg: Mapping[str, Any], dataset_meta: Mapping[str, Any]) -> None:
        from mmengine.registry import VISUALIZERS
        wanted = dict(cfg.get('visualizer') or {})
        default = _DEFAULTS.get(cfg.get('default_scope', ''), 'mmdet.DetLocalVisualizer')
        if wanted.get('type') in (None, 'Visualizer', 'mmengine.Visualizer'):
            wanted = dict(type=default)
        # Backends write files and talk to trackers; these pictures go where the caller says.
        wanted.pop('vis_backends', None)
        wanted.pop('save_dir', None)
        wanted['name'] = f'mmext-painter-{next(_names)}'
        self.visualizer = VISUALIZERS.build(wanted)
        self.visualizer.dataset_meta = self._meta(dataset_meta)

    @staticmethod
    def _meta(dataset_meta: Mapping[str, Any]) -> dict[str, Any]:
        meta = dict(dataset_meta)
        classes = meta.get('classes') or ()
        if not meta.get('palette') and classes:
            meta['palette'] = distinct_colours(len(classes))
        return meta

    def draw(self, prediction: Prediction, score_thr: float) -> np.ndarray:
        """One picture's predictions; see :meth:`Prediction.draw`."""
        assert prediction.image is not None
        return self.paint(prediction.image, prediction.above(score_thr), truth=False)

    def paint(self, image: np.ndarray, sample: Any, truth: bool) -> np.ndarray:
        """Draw a data sample.

        Args:
            image: HWC or HW, BGR.
            sample: The host's data sample, in the coordinates of ``image``.
            truth: Draw the ground truth, else the predictions.

        Returns:
            HWC, BGR, uint8, of the image's size.
        """
        rgb = np.ascontiguousarray(as_picture(image)[..., ::-1])
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # about boxes that reach over the border
            return self._paint(rgb, sample, truth)

    def _paint(self, rgb: np.ndarray, sample: Any, truth: bool) -> np.ndarray:
        self.visualizer.set_image(rgb)
        options: dict[str, Any] = dict(draw_gt=truth, draw_pred=not truth)
        if hasattr(self.visualizer, 'visualize_cls'):  # mmpretrain: one method per task
            self.visualizer.visualize_cls(rgb, sample, **options)
        else:
            if 'pred_instances' in sample:
                options['pred_score_thr'] = -1  # the sample has been filtered
            self.visualizer.add_datasample('', rgb, self._drawable(sample), **options)
        return np.ascontiguousarray(self.visualizer.get_image()[..., ::-1])

    def _drawable(self, sample: Any) -> Any:
        """``sample`` without what mmdet fails on: panoptic maps that are all void, masks without a pixel."""
        void = len(self.visualizer.dataset_meta.get('classes') or ())
        for key in ('pred_panoptic_seg', 'gt_panoptic_seg'):
            if key in sample and bool((sample.get(key).sem_seg == void).all()):
                sample = sample.new()
                delattr(sample, key)
        found = sample.get('pred_instances') if 'pred_instances' in sample else None
        if found is not None and 'masks' in found:
            masks = getattr(found.masks, 'masks', found.masks)
            masks = masks.detach().cpu().numpy() if hasattr(masks, 'detach') else np.asarray(masks)
            seen = masks.reshape(len(masks), -1).any(axis=1) if len(masks) else np.ones(0, bool)
            if not seen.all():
                sample = sample.new()
                sample.pred_instances = found[seen]
        return sample

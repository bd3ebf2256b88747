"""Accuracy of weakly supervised localisation."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from mmengine.evaluator import BaseMetric

from ...errors import UserError
from ...registry import METRICS

_OVERLAPS = (0.3, 0.5, 0.7)  # of MaxBoxAccV2


@METRICS.register_module()
class LocalizationMetric(BaseMetric):
    """Share of images, in percent, whose class, box, or both are found.

    ``cls_top-k``: the class is among the k best. ``loc_top-k``: so it is, and the box overlaps one of the
    true boxes by ``iou_thr``. ``gt_known``: the box does, whatever the class. Boxes are in pixels of the
    network's input, and overlaps count pixels: sides are longer by one, as the authors of CI-CAM compute.

    With ``cam_thresholds``, also ``max_box_acc``, the best ``gt_known`` over thresholds of the map (largest
    connected part by pixels, threshold a share of the maximum), ``max_box_acc_v2``, its mean over overlaps
    0.3, 0.5 and 0.7 (Choe et al., CVPR 2020), and ``best_threshold`` at 0.5.

    Samples need ``pred_score``, ``pred_box`` (:class:`mmext.CICAMHead` gives them), ``gt_label`` and
    ``gt_bboxes`` (:class:`mmext.LocalizationDataset`; ``PackInputs(algorithm_keys=('gt_bboxes', ))``).

    Args:
        topk: The k.
        iou_thr: Least overlap, in (0, 1].
        cam_thresholds: Number of thresholds, evenly from 0 to 1; 0: none of these figures.
        collect_device: See :class:`mmengine.evaluator.BaseMetric`.
        prefix: Of the figures' names.

    Raises:
        UserError: On a value out of range; while evaluating, if a sample lacks one of these.

    Example:
        >>> val_evaluator = dict(type='mmext.LocalizationMetric', topk=(1, 5))
    """

    default_prefix = 'localization'

    def __init__(self, topk: Sequence[int] = (1, 5), iou_thr: float = 0.5, cam_thresholds: int = 0,
                 collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not topk or min(topk) < 1:
            raise UserError(f'LocalizationMetric: topk={tuple(topk)}: give numbers from 1')
        if not 0 < iou_thr <= 1:
            raise UserError(f'LocalizationMetric: iou_thr={iou_thr} must be in (0, 1]')
        if cam_thresholds < 0:
            raise UserError(f'LocalizationMetric: cam_thresholds={cam_thresholds} must not be negative')
        self.topk, self.iou_thr = tuple(topk), iou_thr
        self.thresholds = np.linspace(0, 1, cam_thresholds, endpoint=False)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Rank of the true class, overlap of the box, and overlap by threshold, for each sample."""
        for sample in data_samples:
            scores, label = _array(sample, 'pred_score'), int(_array(sample, 'gt_label').reshape(-1)[0])
            truth = _array(sample, 'gt_bboxes').reshape(-1, 4)
            rank = int((scores > scores[label]).sum())
            overlaps = np.zeros(0)
            if len(self.thresholds):
                size = tuple(sample['img_shape'])[:2]
                overlaps = self._by_threshold(_array(sample, 'pred_cam'), size, truth)
            self.results.append((rank, overlap(_array(sample, 'pred_box'), truth), overlaps))

    def _by_threshold(self, cam: np.ndarray, size: tuple[int, int], truth: np.ndarray) -> np.ndarray:
        large = cv2.resize(cam.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
        return np.array([overlap(_largest_part(large > share * large.max()), truth)
                         for share in self.thresholds])

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Figures in percent; ``best_threshold`` as a share."""
        ranks = np.array([rank for rank, _, _ in results])
        found = np.array([one for _, one, _ in results]) >= self.iou_thr
        figures = {f'cls_top{k}': (ranks < k).mean() for k in self.topk}
        figures |= {f'loc_top{k}': (found & (ranks < k)).mean() for k in self.topk}
        figures['gt_known'] = found.mean()
        percent = {name: round(100 * float(value), 4) for name, value in figures.items()}
        if len(self.thresholds):
            overlaps = np.stack([one for _, _, one in results])
            accuracies = {least: (overlaps >= least).mean(0) for least in {*_OVERLAPS, self.iou_thr}}
            percent['max_box_acc'] = 100 * float(accuracies[self.iou_thr].max())
            percent['max_box_acc_v2'] = 100 * float(np.mean([accuracies[one].max() for one in _OVERLAPS]))
            percent['best_threshold'] = float(self.thresholds[accuracies[self.iou_thr].argmax()])
        return percent


def overlap(box: np.ndarray, truth: np.ndarray) -> float:
    """Largest intersection over union of a box ``(4, )`` and the true ones ``(n, 4)``, sides plus one."""
    low, high = np.maximum(box[:2], truth[:, :2]), np.minimum(box[2:], truth[:, 2:])
    common = np.clip(high - low + 1, 0, None).prod(1)
    areas = [(one[..., 2:] - one[..., :2] + 1).prod(-1) for one in (box, truth)]
    return float((common / (areas[0] + areas[1] - common)).max())


def _largest_part(mask: np.ndarray) -> np.ndarray:
    parts = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)[2][1:]
    if not len(parts):
        return np.array([0, 0, mask.shape[1], mask.shape[0]])
    left, top, width, height = parts[parts[:, 4].argmax(), :4]
    return np.array([left, top, left + width, top + height])


def _array(sample: dict, key: str) -> np.ndarray:
    if key not in sample:
        hint = {'gt_bboxes': "take mmext.LocalizationDataset and PackInputs(algorithm_keys=('gt_bboxes', ))",
                'gt_label': 'the data set must have classes'}.get(key, 'the head must be mmext.CICAMHead')
        raise UserError(f"LocalizationMetric: a sample has no '{key}': {hint}")
    value = sample[key]
    return value.detach().float().cpu().numpy() if hasattr(value, 'detach') else np.asarray(value, np.float64)

"""From class activation maps to one map of the object, and from that to its box."""
from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmext.errors import UserError, did_you_mean
from mmext.registry import TASK_UTILS

FUNCTIONS = ('linear', 'quadratic', 'sum_1', 'sum_2', 'mean')
_LAST_OF_SUM = {'sum_1': 2., 'sum_2': 4.}


@TASK_UTILS.register_module()
class CAMToBox:
    """Combines the maps of all classes and puts a box around the largest part above a threshold.

    The combination (NL-CCAM, Yang et al., WACV 2020) adds up the maps with weights by the rank of their
    class's score, so the box does not depend on the class. A part's size is that of its bounding box.

    Args:
        seg_thr: Threshold as a share of the map's maximum, in [0, 1).
        function: Weights by rank: 'linear' from 1 to -1; 'quadratic' from 0 for the best class to -1; 'sum_1'
            and 'sum_2' the best class minus the last ``mean_num``, weighted from 0 to 2 (or 4); 'mean' the
            best class minus the mean of the last ``mean_num``.
        mean_num: How many of the worst classes 'sum_1', 'sum_2' and 'mean' take away.

    Raises:
        UserError: On an unknown function or a value out of range.

    Example:
        >>> to_box = CAMToBox(seg_thr=0.14)
        >>> maps = to_box.combine(torch.rand(2, 20, 14, 14), torch.rand(2, 20))
        >>> to_box(maps, [(224, 224), (224, 224)]).shape
        torch.Size([2, 4])
    """

    def __init__(self, seg_thr: float = 0.14, function: str = 'quadratic', mean_num: int = 20) -> None:
        if function not in FUNCTIONS:
            raise UserError(f"CAMToBox: function='{function}'{did_you_mean(function, FUNCTIONS)} (choose "
                            f'from {", ".join(FUNCTIONS)})')
        if not 0 <= seg_thr < 1:
            raise UserError(f'CAMToBox: seg_thr={seg_thr} must be in [0, 1)')
        if mean_num < 1:
            raise UserError(f'CAMToBox: mean_num={mean_num} must be at least 1')
        self.seg_thr, self.function, self.mean_num = seg_thr, function, mean_num

    def rank_weights(self, num_classes: int) -> Tensor:
        """Weight of the map of each rank, best class first: ``(K, )``.

        Raises:
            UserError: If ``mean_num`` is more than there are classes.
        """
        if self.function == 'linear':
            return torch.linspace(1, -1, num_classes)
        if self.function == 'quadratic':
            return -torch.linspace(0, -1, num_classes).square()
        last = min(self.mean_num, num_classes) if self.function == 'mean' else self.mean_num
        if last > num_classes:
            raise UserError(f'CAMToBox: mean_num={last}, but there are {num_classes} classes; give at most '
                            'that')
        weights = torch.zeros(num_classes)
        weights[0] = 1
        highest = _LAST_OF_SUM.get(self.function)
        worst = torch.ones(last) if highest is None else torch.linspace(0, highest, last)
        weights[num_classes - last:] -= worst / last
        return weights

    def class_weights(self, scores: Tensor) -> Tensor:
        """Weight of the map of each class: ``(B, K)``, from scores of that shape."""
        order = scores.argsort(dim=1, descending=True)
        weights = self.rank_weights(scores.shape[1]).to(scores).expand_as(scores)
        return torch.zeros_like(scores).scatter(1, order, weights)

    def combine(self, cams: Tensor, scores: Tensor) -> Tensor:
        """One map for each image, its minimum taken away.

        Args:
            cams: ``(B, K, h, w)``.
            scores: ``(B, K)``: logits.

        Returns:
            ``(B, h, w)``.
        """
        return above_minimum(torch.einsum('bk,bkhw->bhw', self.class_weights(scores), cams))

    def combine_features(self, features: Tensor, classifier: Tensor, scores: Tensor) -> Tensor:
        """As :meth:`combine`, from what the maps are made of: no ``(B, K, h, w)`` tensor is made.

        Args:
            features: ``(B, C, h, w)``.
            classifier: ``(K, C)``: weight of the linear classifier.
            scores: ``(B, K)``.
        """
        direction = self.class_weights(scores) @ classifier
        return above_minimum(torch.einsum('bc,bchw->bhw', direction, features))

    def foreground(self, maps: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The upsampled maps, and where they are above the threshold.

        Args:
            maps: ``(B, h, w)``, at least 0.
            size: Height and width of the picture.

        Returns:
            Two tensors ``(B, H, W)``, the second boolean.
        """
        large = F.interpolate(maps[:, None], size, mode='bilinear', align_corners=False)[:, 0]
        return large, large > large.amax((1, 2), keepdim=True) * self.seg_thr

    def __call__(self, maps: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
        """Boxes ``(B, 4)``, int64: x1, y1, x2, y2 in pixels, the ends exclusive.

        Args:
            maps: ``(B, h, w)`` from :meth:`combine`.
            sizes: Height and width of each picture. A map without any contrast gives the whole picture.
        """
        boxes = []
        for one, size in zip(maps.detach().float(), sizes, strict=True):
            large, kept = self.foreground(one[None], size)
            boxes.append(_largest_part(torch.where(kept, large, 0)[0].cpu().numpy()))
        return torch.tensor(boxes, dtype=torch.int64).reshape(-1, 4)


def above_minimum(maps: Tensor) -> Tensor:
    """``(B, h, w)`` minus the least value of each map."""
    return maps - maps.amin((1, 2), keepdim=True)


def _largest_part(cut: np.ndarray) -> list[int]:
    """Box of the 4-connected part above the mean whose bounding box is the largest."""
    above = (cut > cut.mean()).astype(np.uint8)
    parts = cv2.connectedComponentsWithStats(above, connectivity=4)[2][1:, :4]  # the first is the background
    if not len(parts):
        return [0, 0, cut.shape[1], cut.shape[0]]
    left, top, width, height = parts[np.argmax(parts[:, 2] * parts[:, 3])].tolist()
    return [left, top, left + width, top + height]

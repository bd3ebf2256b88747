"""What Cycle Self-Training may take over from Soft Teacher for detectors with an RoI head.

Both are measurements by the teacher that made the pseudo-labels: how sure it is that a student's negative
region is background, and how far its box scatters when it starts from slightly different regions (Xu et
al., "End-to-End Semi-Supervised Object Detection with Soft Teacher", ICCV 2021, arXiv 2106.09018,
sections 3.2 and 3.3).
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_project
from mmengine.structures import InstanceData
from torch import Tensor


def class_scores(roi_head: Any, features: Sequence[Tensor], metas: list[dict], boxes: Sequence[Tensor]
                 ) -> list[InstanceData]:
    """What an RoI head says of given regions, before any suppression.

    Args:
        roi_head: Of a teacher.
        features: Its maps of B images.
        metas: Of the images.
        boxes: For each image (N, 4), in its pixels.

    Returns:
        For each image ``scores (N, C + 1)`` and ``bboxes (N, 4)`` or ``(N, 4 C)``.
    """
    return roi_head.predict_bbox(features, metas, [InstanceData(bboxes=one) for one in boxes],
                                 rcnn_test_cfg=None, rescale=False)


def background_scores(roi_head: Any, features: Sequence[Tensor], weak: Sequence[DetDataSample],
                      strong: Sequence[DetDataSample]) -> Callable[[Sequence[Tensor]], list[Tensor]]:
    """How sure a teacher is that regions of a student's view are background.

    Args:
        roi_head: Of the teacher that made the pseudo-labels.
        features: Its maps of the weak views.
        weak: The weak views, with ``homography_matrix``.
        strong: The student's views of the same images.

    Returns:
        From regions in the strong views, (N, 4) each, to background probabilities, (N, ) each.
    """
    @torch.no_grad()
    def measure(regions: Sequence[Tensor]) -> list[Tensor]:
        moved = []
        for boxes, there, here in zip(regions, weak, strong):
            matrices = [torch.as_tensor(one.homography_matrix, dtype=torch.float64, device=boxes.device)
                        for one in (there, here)]
            matrix = matrices[0] @ matrices[1].inverse()
            moved.append(bbox_project(boxes, matrix.to(boxes), there.img_shape))
        found = class_scores(roi_head, features, [one.metainfo for one in weak], moved)
        return [one.scores[:, -1] for one in found]
    return measure


@torch.no_grad()
def box_scatter(roi_head: Any, features: Sequence[Tensor], metas: list[dict],
                found: Sequence[InstanceData], times: int, scale: float) -> list[Tensor]:
    """How far a teacher's boxes scatter when the regions they are refined from are moved a little.

    Args:
        roi_head: Of the teacher.
        features: Its maps of B images.
        metas: Of the images.
        found: For each image ``bboxes (N, 4)`` and ``labels (N, )``.
        times: Moved regions of each box, 2 or more.
        scale: Standard deviation of every coordinate's move, in widths or heights.

    Returns:
        For each image (N, ), the standard deviation of the four refined coordinates, averaged, in halves
        of width plus height.
    """
    moved = []
    for one in found:
        sides = (one.bboxes[:, 2:] - one.bboxes[:, :2]).repeat(1, 2)
        noise = torch.randn(times, *one.bboxes.shape, device=sides.device, dtype=sides.dtype)
        moved.append((one.bboxes + scale * sides * noise).reshape(-1, 4))
    result = []
    for one, refined in zip(found, class_scores(roi_head, features, metas, moved)):
        count = len(one)
        boxes = refined.bboxes.reshape(times, count, -1, 4) if count else one.bboxes.new_zeros(times, 0, 1, 4)
        column = one.labels if boxes.shape[2] > 1 else torch.zeros_like(one.labels)
        boxes = boxes[:, torch.arange(count, device=column.device), column]
        size = (one.bboxes[:, 2:] - one.bboxes[:, :2]).clamp(min=1).sum(1) / 2
        result.append(boxes.std(0).mean(-1) / size)
    return result

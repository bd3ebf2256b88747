"""The losses of MGD; each also works alone. Shapes: B images, K classes, C channels, H x W pixels."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmext.registry import MODELS


def _resized(teacher: Tensor, student: Tensor) -> Tensor:
    """The teacher's map at the student's size."""
    if teacher.shape[-2:] == student.shape[-2:]:
        return teacher
    return F.interpolate(teacher, size=student.shape[-2:], mode='bilinear', align_corners=True)


@MODELS.register_module()
class CrossPseudoLoss(nn.Module):
    """Each network learns the labels that the other one would give (Section 3.2, pixel level).

    Args:
        loss_weight: Factor of the loss.
        ignore_index: Label of pixels that do not count.
        constant_terms: Add the teacher's own cross entropy, as the authors do. It has no gradient
            while the teacher is frozen and only changes the logged number.
    """

    def __init__(self, loss_weight: float = 1.0, ignore_index: int = 255,
                 constant_terms: bool = True) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.ignore_index = ignore_index
        self.constant_terms = constant_terms

    def forward(self, student: Tensor, teacher: Tensor, student_label: Tensor,
                teacher_label: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            student: Logits ``(B, K, H, W)``.
            teacher: Logits ``(B, K, H, W)``, or of another size, when they are resized.
            student_label: Classes ``(B, H, W)`` that the student gives.
            teacher_label: Classes ``(B, H, W)`` that the teacher gives.
        """
        loss = F.cross_entropy(student, teacher_label, ignore_index=self.ignore_index)
        if self.constant_terms:
            loss = loss + F.cross_entropy(
                _resized(teacher, student), student_label, ignore_index=self.ignore_index)
        return self.loss_weight * loss


@MODELS.register_module()
class ImageSemanticLoss(nn.Module):
    """L1 distance of the logits' averages over the image (Section 3.2, image level).

    A plain sum over images and classes: with another number of images on each device, scale
    ``loss_weight`` by its inverse. The published weights are for 2 images (VOC).

    Args:
        loss_weight: The paper's lambda_1.
    """

    def __init__(self, loss_weight: float = 0.002) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss, a scalar, of logits ``(B, K, h, w)``; the two sizes may differ."""
        difference = student.mean(dim=(2, 3)) - teacher.mean(dim=(2, 3))
        return self.loss_weight * difference.abs().sum()


def region_similarity(feature: Tensor, grid: tuple[int, int]) -> Tensor:
    """Cosines between the regions of a map.

    Args:
        feature: Map ``(B, C, h, w)``.
        grid: Rows and columns of regions, n in all.

    Returns:
        Cosines ``(B, n, n)``.
    """
    regions = F.adaptive_avg_pool2d(feature, grid).flatten(2)
    lengths = regions.norm(dim=1).clamp_min(1e-12)  # divided by at the end, to round as the authors do
    return regions.transpose(1, 2) @ regions / lengths[:, :, None] / lengths[:, None]


@MODELS.register_module()
class RegionContentLoss(nn.Module):
    """Squared difference of the regions' similarities (Section 3.2, region level).

    Maps may have different channels and sizes.

    Args:
        loss_weight: The paper's lambda_2.
        grid: Rows and columns of regions.
    """

    def __init__(self, loss_weight: float = 100.0, grid: tuple[int, int] = (7, 7)) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.grid = (int(grid[0]), int(grid[1]))

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss, a scalar, of maps ``(B, C, h, w)``."""
        with torch.no_grad():
            target = region_similarity(teacher, self.grid)
        return self.loss_weight * F.mse_loss(region_similarity(student, self.grid), target)

"""All terms of MGD together."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from mmext.errors import UserError, did_you_mean
from mmext.registry import MODELS

from .losses import CrossPseudoLoss, ImageSemanticLoss, RegionContentLoss


@dataclass(frozen=True)
class Views:
    """What one network makes of a batch.

    Attributes:
        sup: Logits ``(B, K, H, W)`` of the labelled images.
        mixed: Logits ``(B, K, H, W)`` of the mixed images.
        label: Classes ``(B, H, W)`` of the mixed images: those that the network gives the two
            unlabelled images, mixed as the images are.
        feature: Map ``(B, C, h, w)`` of the mixed images before the classifier.
    """

    sup: Tensor
    mixed: Tensor
    label: Tensor
    feature: Tensor | None = None


@MODELS.register_module()
class MultiGranularityLoss(nn.Module):
    """Pixel, region and image level losses of a student under several teachers.

    Args:
        lambda_sem: Weight of the image level; 0 leaves it out.
        lambda_region: Weight of the region level; 0 leaves it out.
        region_grid: Rows and columns of regions.
        image_teacher: Name of the teacher of the image level.
        region_teacher: Name of the teacher of the region level.
        ignore_index: Label of pixels that do not count.
        constant_terms: Add the cross entropies of the teachers' own logits, as the authors do: they
            have no gradient, but the logged losses are then the authors'.

    Example:
        >>> loss = dict(type='mmext.MultiGranularityLoss', lambda_sem=0.002, lambda_region=100.)
    """

    def __init__(self, lambda_sem: float = 0.002, lambda_region: float = 100.0,
                 region_grid: tuple[int, int] = (7, 7), image_teacher: str = 'deep',
                 region_teacher: str = 'wide', ignore_index: int = 255,
                 constant_terms: bool = False) -> None:
        super().__init__()
        self.pixel = CrossPseudoLoss(1.0, ignore_index, constant_terms)
        self.image = ImageSemanticLoss(lambda_sem)
        self.region = RegionContentLoss(lambda_region, region_grid)
        self.image_teacher = image_teacher
        self.region_teacher = region_teacher

    def check_teachers(self, names: tuple[str, ...]) -> None:
        """Raise a UserError if a level's teacher is not among ``names``."""
        for field, weight in (('image_teacher', self.image.loss_weight),
                              ('region_teacher', self.region.loss_weight)):
            name = getattr(self, field)
            if weight and name not in names:
                raise UserError(f"MultiGranularityLoss: {field}='{name}' is none of the teachers "
                                f'({", ".join(names)}){did_you_mean(name, names)}')

    def forward(self, student: Views, teachers: Mapping[str, Views],
                label: Tensor | None = None) -> dict[str, Tensor]:
        """The losses by name.

        Args:
            student: What the student makes of the batch.
            teachers: What each teacher makes of it.
            label: Label maps ``(B, H, W)`` of the labelled images; only for the constant terms.
        """
        losses = {}
        sup_label = student.sup.argmax(1) if self.pixel.constant_terms else student.label
        for name, teacher in teachers.items():
            losses[f'loss_pixel_unsup_{name}'] = self.pixel(student.mixed, teacher.mixed, student.label,
                                                            teacher.label)
            losses[f'loss_pixel_sup_{name}'] = self.pixel(student.sup, teacher.sup, sup_label,
                                                          teacher.sup.argmax(1))
            if self.pixel.constant_terms and label is not None:
                losses[f'loss_sup_{name}'] = F.cross_entropy(
                    teacher.sup, label, ignore_index=self.pixel.ignore_index)
        if self.image.loss_weight:
            losses['loss_image'] = self.image(student.mixed, teachers[self.image_teacher].mixed)
        if self.region.loss_weight:
            teacher_feature = teachers[self.region_teacher].feature
            assert student.feature is not None and teacher_feature is not None
            losses['loss_region'] = self.region(student.feature, teacher_feature)
        return losses

"""Varifocal loss whose weights are constants, as Relation-DETR uses it."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.models.losses import QualityFocalLoss
from mmdet.models.losses.utils import weight_reduce_loss
from torch import Tensor

from ...registry import MODELS


@MODELS.register_module()
class DetachedVarifocalLoss(QualityFocalLoss):
    """Binary cross entropy against the IoU, weighted as in VarifocalNet (arXiv 2008.13367, eq. 2).

    Two differences from ``mmdet.VarifocalLoss``: no gradient flows through the weights, and a matched
    prediction with an IoU of exactly zero has weight zero instead of that of a negative. It takes
    labels and IoUs as ``mmdet.QualityFocalLoss`` does, so mmdet's DETR heads give it the IoUs.

    Args:
        alpha: Weight of the negatives, beside ``probability**gamma``.
        gamma: Exponent of the negatives' probability.
        use_sigmoid: True, the only choice.
        reduction: ``'none'``, ``'mean'`` or ``'sum'``.
        loss_weight: Factor of the loss.
    """

    def __init__(self,
                 alpha: float = 0.75,
                 gamma: float = 2.0,
                 use_sigmoid: bool = True,
                 reduction: str = 'mean',
                 loss_weight: float = 1.0) -> None:
        super().__init__(use_sigmoid=use_sigmoid, reduction=reduction, loss_weight=loss_weight)
        self.alpha = alpha
        self.gamma = gamma

    def forward(self,
                pred: Tensor,
                target: tuple[Tensor, Tensor],
                weight: Tensor | None = None,
                avg_factor: float | None = None,
                reduction_override: str | None = None) -> Tensor:
        """The loss of ``n`` predictions.

        Args:
            pred: Logits ``(n, K)``.
            target: Labels ``(n, )``, K for background, and IoUs ``(n, )`` in [0, 1].
            weight: ``(n, )``.
            avg_factor: What a mean divides by; ``n`` by default.
            reduction_override: In place of ``reduction``.
        """
        labels, ious = target
        positive = F.one_hot(labels, pred.shape[1] + 1)[:, :-1].bool()
        quality = torch.where(positive, ious[:, None].to(pred.dtype), 0)
        with torch.no_grad():
            factor = torch.where(positive, quality, self.alpha * pred.sigmoid()**self.gamma)
        loss = F.binary_cross_entropy_with_logits(pred, quality, factor, reduction='none').sum(1)
        reduction = reduction_override or self.reduction
        return self.loss_weight * weight_reduce_loss(loss, weight, reduction, avg_factor)

"""Losses of rotated DETRs; all run on CPU with gradients. Boxes are ``(n, 5)``.

Sources: GWD (arXiv 2101.11952), KLD (2106.01883), RT-DETR's varifocal loss (2304.08069), matchability
aware loss (DEIM, 2412.04234).
"""
from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.losses.utils import weight_reduce_loss
from torch import Tensor, nn

from ...registry import MODELS
from ..task_modules.rotated_geometry import FUNCTIONS, KINDS, gaussian_distance, rotated_iou
from ..task_modules.rotated_match_costs import check_choice


class _BoxLoss(nn.Module):
    """Rows, weights and reduction as in the hosts' box losses."""

    def __init__(self, reduction: str = 'mean', loss_weight: float = 1.) -> None:
        super().__init__()
        check_choice('reduction', reduction, ('none', 'mean', 'sum'))
        self.reduction = reduction
        self.loss_weight = loss_weight

    def rows(self, pred: Tensor, target: Tensor) -> Tensor:
        """Loss of each row."""
        raise NotImplementedError

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor | None = None,
                avg_factor: float | None = None, reduction_override: str | None = None,
                **_: Any) -> Tensor:
        """Reduced loss.

        Args:
            pred: ``(n, 5)`` in pixels and radians.
            target: ``(n, 5)``.
            weight: ``(n, )`` or ``(n, 5)``, whose mean over a row counts.
            avg_factor: Divides the sum; default: n.
            reduction_override: Instead of ``reduction``.
        """
        reduction = reduction_override or self.reduction
        if weight is not None and weight.dim() > 1:
            weight = weight.mean(-1)
        if weight is not None and reduction != 'none':
            # Rows without weight may hold anything, also what has no distance.
            used = weight > 0
            if not used.any():
                return pred.sum() * 0
            avg_factor = len(pred) if avg_factor is None and reduction == 'mean' else avg_factor
            pred, target, weight = pred[used], target[used], weight[used]
        loss = self.rows(pred, target)
        return self.loss_weight * weight_reduce_loss(loss, weight, reduction, avg_factor)


@MODELS.register_module()
class GaussianLoss(_BoxLoss):
    """mmrotate's GDLoss without matrices: the same values, finite also for needles of aspect 1e6.

    Args:
        loss_type: kld, gwd, jd, kld_symmax or kld_symmin; fun, tau, alpha, sqrt, normalize: see
            :func:`.gaussian_distance`.
        reduction: none, mean or sum.
        loss_weight: Of the loss.
    """

    def __init__(self, loss_type: str = 'kld', fun: str = 'log1p', tau: float = 1., alpha: float = 1.,
                 sqrt: bool = False, normalize: bool = True, reduction: str = 'mean',
                 loss_weight: float = 1.) -> None:
        super().__init__(reduction, loss_weight)
        check_choice('loss_type', loss_type, KINDS)
        check_choice('fun', fun, FUNCTIONS)
        self.kwargs = dict(kind=loss_type, fun=fun, tau=tau, alpha=alpha, sqrt=sqrt, normalize=normalize)

    def rows(self, pred: Tensor, target: Tensor) -> Tensor:
        """See the class."""
        return gaussian_distance(pred, target, **self.kwargs)  # type: ignore[arg-type]


@MODELS.register_module()
class PolygonIoULoss(_BoxLoss):
    """1 - IoU, or its logarithm, of rotated boxes by polygon clipping; needs no compiled op.

    Args:
        mode: ``'linear'``: 1 - IoU; ``'log'``: -log IoU.
        reduction: none, mean or sum.
        loss_weight: Of the loss.
    """

    def __init__(self, mode: str = 'linear', reduction: str = 'mean', loss_weight: float = 1.) -> None:
        super().__init__(reduction, loss_weight)
        check_choice('mode', mode, ('linear', 'log'))
        self.mode = mode

    def rows(self, pred: Tensor, target: Tensor) -> Tensor:
        """See the class."""
        iou = rotated_iou(pred, target)
        return -iou.clamp(min=1e-6).log() if self.mode == 'log' else 1 - iou


@MODELS.register_module()
class RBoxL1Loss(nn.Module):
    """L1 of five normalised numbers; the angle's distance goes around the circle.

    Args:
        angle_factor: Angle that counts 1, in radians; the head sets its box space's.
        loss_weight: Of the loss.
    """

    def __init__(self, angle_factor: float = math.pi, loss_weight: float = 1.) -> None:
        super().__init__()
        self.angle_factor = angle_factor
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor | None = None,
                avg_factor: float | None = None, **_: Any) -> Tensor:
        """Sum over all numbers, divided by ``avg_factor``, or their mean; ``(n, 5)`` each."""
        difference = pred - target
        period = math.pi / self.angle_factor
        turn = difference[..., 4:]
        turn = turn - period * (turn.detach() / period).round()
        loss = torch.cat((difference[..., :4], turn), -1).abs()
        return self.loss_weight * weight_reduce_loss(loss, weight, 'mean', avg_factor)


class _QualityLoss(nn.Module):
    """Binary cross entropy whose target is the quality of a box.

    Args:
        alpha: Weight of negatives.
        gamma: Exponent.
        quality: What a head takes as quality: ``'rbox_iou'``, ``'prob_iou'``, or ``'hbox_iou'``, which
            ignores the angles (published models; a ship across its box scores high).
        loss_weight: Of the loss.
    """

    use_sigmoid = True

    def __init__(self, alpha: float, gamma: float, quality: str = 'rbox_iou',
                 loss_weight: float = 1.) -> None:
        super().__init__()
        check_choice('quality', quality, ('hbox_iou', 'rbox_iou', 'prob_iou'))
        self.alpha = alpha
        self.gamma = gamma
        self.quality = quality
        self.loss_weight = loss_weight

    def terms(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Weights and targets of the cross entropy."""
        raise NotImplementedError

    def forward(self, pred: Tensor, target: Tensor, weight: Tensor | None = None,
                avg_factor: float | None = None, **_: Any) -> Tensor:
        """Sum over all pairs, divided by ``avg_factor``.

        Args:
            pred: Logits ``(n, K)``.
            target: Quality ``(n, K)``, 0 where a class is not the target.
            weight: ``(n, )``.
            avg_factor: Usually the number of positives.
        """
        target = target.to(pred)
        focal, aim = self.terms(pred, target)
        loss = F.binary_cross_entropy_with_logits(pred, aim, reduction='none') * focal
        if weight is not None and weight.dim() < loss.dim():
            weight = weight[:, None]
        return self.loss_weight * weight_reduce_loss(loss, weight, 'mean', avg_factor)


@MODELS.register_module()
class RTDETRVarifocalLoss(_QualityLoss):
    """RT-DETR's varifocal loss: positives weigh q, negatives alpha p^gamma, with a gradient.

    Args: alpha, gamma, quality ('rbox_iou', 'prob_iou' or 'hbox_iou'), loss_weight.
    """

    def __init__(self, alpha: float = 0.75, gamma: float = 2., quality: str = 'rbox_iou',
                 loss_weight: float = 1.) -> None:
        super().__init__(alpha, gamma, quality, loss_weight)

    def terms(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        positive = target > 0
        return torch.where(positive, target, self.alpha * pred.sigmoid()**self.gamma), target


@MODELS.register_module()
class MatchabilityAwareLoss(_QualityLoss):
    """DEIM's loss: positives weigh 1 and aim at q^gamma, negatives weigh alpha p^gamma, detached.

    Args: alpha, gamma, quality ('rbox_iou', 'prob_iou' or 'hbox_iou'), loss_weight.
    """

    def __init__(self, alpha: float = 1., gamma: float = 1.5, quality: str = 'rbox_iou',
                 loss_weight: float = 1.) -> None:
        super().__init__(alpha, gamma, quality, loss_weight)

    def terms(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        negative = self.alpha * pred.detach().sigmoid()**self.gamma
        return torch.where(target > 0, torch.ones_like(negative), negative), target**self.gamma

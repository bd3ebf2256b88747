"""Distillation of class scores."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmext.errors import UserError
from mmext.registry import MODELS


@MODELS.register_module()
class KLDistillLoss(nn.Module):
    """``tau^2 KL(teacher || student)`` of softened class distributions (Hinton et al., 2015, section 2).

    Args:
        tau: Temperature, above 0.
        use_sigmoid: For heads of independent classes: the KL divergence of each class's own two outcomes,
            averaged over all of them, instead of the softmax.
    """

    def __init__(self, tau: float = 1.0, use_sigmoid: bool = False) -> None:
        super().__init__()
        if tau <= 0:
            raise UserError(f'KLDistillLoss: tau={tau} must be above 0')
        self.tau, self.use_sigmoid = tau, use_sigmoid

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Mean over samples (and positions) of the divergence along axis 1.

        Args:
            pred: The student's logits ``(B, K, ...)``.
            target: The teacher's.
        """
        pred, target = pred / self.tau, target / self.tau
        if self.use_sigmoid:
            both = F.binary_cross_entropy_with_logits(pred, target.sigmoid())
            entropy = F.binary_cross_entropy_with_logits(target, target.sigmoid())
            return (both - entropy) * self.tau**2
        terms = F.kl_div(pred.log_softmax(1), target.log_softmax(1), reduction='none', log_target=True)
        return terms.sum(1).mean() * self.tau**2


@MODELS.register_module()
class DecoupledKDLoss(nn.Module):
    """``alpha TCKD + beta NCKD`` (Decoupled Knowledge Distillation, Zhao et al., CVPR 2022, eq. 7).

    TCKD compares the true class against all others, NCKD the others among themselves. Needs the
    ``gt_label`` of classification data samples.

    Args:
        tau: Temperature; both terms are multiplied by its square.
        alpha: Weight of TCKD.
        beta: Weight of NCKD.
    """

    needs_context = True

    def __init__(self, tau: float = 4.0, alpha: float = 1.0, beta: float = 8.0) -> None:
        super().__init__()
        self.tau, self.alpha, self.beta = tau, alpha, beta

    def forward(self, pred: Tensor, target: Tensor, context: dict[str, Any]) -> Tensor:
        """Mean over samples.

        Args:
            pred: The student's logits ``(B, K)``.
            target: The teacher's.
            context: Its ``data_samples`` have one ``gt_label`` each.

        Raises:
            UserError: If a sample has not exactly one label, or a mixed one.
        """
        labels: list[Any] = [getattr(sample, 'gt_label', None) for sample in context['data_samples']]
        if any(getattr(sample, 'gt_score', None) is not None and int((sample.gt_score > 0).sum()) != 1
               for sample in context['data_samples']):
            raise UserError('DecoupledKDLoss needs one true class a sample; mixed labels (Mixup, CutMix) '
                            'have several: take batch_augments out, or mmext.KLDistillLoss')
        if any(label is None or label.numel() != 1 for label in labels):
            raise UserError('DecoupledKDLoss needs data samples with one gt_label each; for other data take '
                            'mmext.KLDistillLoss')
        truth = F.one_hot(torch.cat(labels).to(pred.device), pred.shape[1]).bool()
        student, teacher = pred / self.tau, target / self.tau
        binary_s, binary_t = (torch.stack([one.softmax(1)[truth], one.softmax(1)[~truth].view(
            len(one), -1).sum(1)], 1) for one in (student, teacher))
        tckd = F.kl_div(binary_s.clamp_min(1e-12).log(), binary_t, reduction='batchmean')
        others_s, others_t = (one[~truth].view(len(one), -1).log_softmax(1) for one in (student, teacher))
        nckd = F.kl_div(others_s, others_t, reduction='batchmean', log_target=True)
        return (self.alpha * tckd + self.beta * nckd) * self.tau**2

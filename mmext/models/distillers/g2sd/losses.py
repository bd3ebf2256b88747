"""The losses of G2SD: hidden features, relations, logits, maps and proposals."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmext.errors import UserError, did_you_mean
from mmext.registry import MODELS

Layer = Tensor | Sequence[Tensor]
_REDUCTIONS = ('mean', 'sum', 'batchmean', 'none')


@MODELS.register_module()
class HiddenFeatureLoss(nn.Module):
    """Smooth L1 distance to the teacher's normalised features (Section 3.1).

    Args:
        loss_weight: Factor of the loss.
        beta: Where the loss turns from squared to absolute.
        eps: Of the layer norm without parameters that the target goes through.
    """

    def __init__(self, loss_weight: float = 1.0, beta: float = 2.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.beta = beta
        self.eps = eps

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """The loss, a scalar, of tokens ``(..., C)``."""
        target = F.layer_norm(target, target.shape[-1:], eps=self.eps)
        return self.loss_weight * F.smooth_l1_loss(pred, target, beta=self.beta)


@MODELS.register_module()
class QKVRelationLoss(nn.Module):
    """KL divergence of the relations among queries, keys and values, as in MiniLMv2.

    In the authors' code, but off in their recipes. Record ``attn.qkv`` of the layers.

    Args:
        loss_weight: Factor of the loss.
        relation_heads: Heads into which the channels are split for the relations.
    """

    whole_records = True

    def __init__(self, loss_weight: float = 0.1, relation_heads: int = 1) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.relation_heads = relation_heads

    def _split(self, x: Tensor) -> Tensor:
        if x.shape[-1] % self.relation_heads:
            raise UserError(f'QKVRelationLoss: {x.shape[-1]} channels cannot be split into '
                            f'relation_heads={self.relation_heads}')
        return x.unflatten(-1, (self.relation_heads, -1)).transpose(1, 2)

    def forward(self, student: Sequence[Layer], teacher: Sequence[Layer]) -> Tensor:
        """The loss, a scalar.

        Args:
            student: Queries, keys and values ``(B, N, C)`` of each layer, or what its ``attn.qkv`` gives,
                ``(B, N, 3 C)``.
            teacher: The same of the teacher, C may differ; layers beyond the student's do not count.

        Raises:
            UserError: If the teacher has fewer layers, or channels cannot be split into the heads.
        """
        if len(student) > len(teacher):
            raise UserError(f'QKVRelationLoss: {len(student)} layers of the student, {len(teacher)} of the '
                            'teacher; record as many of both')
        terms = []
        for ours, theirs in zip(student, teacher):
            own, other = ([self._split(part) for part in (
                parts.chunk(3, dim=-1) if isinstance(parts, Tensor) else parts)] for parts in (ours, theirs))
            for i in range(3):
                for j in range(3):
                    pred, target = (
                        (parts[i] / parts[i].shape[-1]**0.5 @ parts[j].transpose(-1, -2)).float()
                        for parts in (own, other))
                    terms.append(F.kl_div(pred.log_softmax(-1), target.log_softmax(-1), log_target=True,
                                          reduction='none').sum(-1).mean())
        return self.loss_weight * torch.stack(terms).sum() / (9 * len(student))


@MODELS.register_module()
class HardLabelLoss(nn.Module):
    """Cross entropy with the class that the teacher finds (DeiT's hard distillation).

    Args:
        loss_weight: Factor of the loss.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """The loss, a scalar, of logits ``(B, K)``."""
        return self.loss_weight * F.cross_entropy(pred, target.argmax(dim=1))


@MODELS.register_module()
class NKDLoss(nn.Module):
    """Normalised knowledge distillation: target and other classes apart.

    From Knowledge Distillation to Customized Classification (arXiv 2303.13005), as G2SD has it.

    Args:
        loss_weight: Factor of the loss.
        temp: Temperature of the classes other than the target.
        alpha: Weight of the classes other than the target.
    """

    needs_context = True

    def __init__(self, loss_weight: float = 1.0, temp: float = 1.0, alpha: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.temp = temp
        self.alpha = alpha

    def forward(self, pred: Tensor, target: Tensor, label: Tensor | None = None,
                context: Mapping[str, Any] | None = None) -> Tensor:
        """The loss, a scalar.

        Args:
            pred: The student's logits ``(B, K)``.
            target: The teacher's logits ``(B, K)``.
            label: Classes ``(B,)``, or their probabilities ``(B, K)`` (the greatest counts).
            context: With ``data_samples`` that have the label, where it is not given.

        Raises:
            UserError: If a sample has no label.
        """
        if label is None:
            label = _labels(context).to(pred.device)
        index = (label.argmax(dim=1) if label.ndim == 2 else label).unsqueeze(1)
        weight = target.softmax(1).gather(1, index).detach()
        first = -(weight * pred.log_softmax(1).gather(1, index)).mean()
        hidden = torch.zeros_like(pred).scatter_(1, index, float('-inf'))
        others_pred = ((pred + hidden) / self.temp).log_softmax(1)
        others_target = ((target + hidden) / self.temp).softmax(1)
        # the hidden class has probability 0; its logarithm must not make 0 * inf
        terms = others_target * others_pred.masked_fill(hidden != 0, 0.0)
        second = -self.alpha * self.temp**2 * terms.sum(1).mean()
        return self.loss_weight * (first + second)


def _labels(context: Mapping[str, Any] | None) -> Tensor:
    """Classes ``(B,)`` of classification samples; of mixed ones the greater part."""
    samples = (context or {}).get('data_samples') or ()
    scores = [getattr(sample, 'gt_score', None) for sample in samples]
    labels = [getattr(sample, 'gt_label', None) for sample in samples]
    found: list[Any] = [label if score is None else score.argmax() for score, label in zip(scores, labels)]
    if not found or any(one is None or one.numel() != 1 for one in found):
        raise UserError('NKDLoss needs data samples with one gt_label (or a gt_score) each')
    return torch.stack([one.reshape(()) for one in found])


class _AlignedLoss(nn.Module):
    """Of maps; a 1x1 convolution when student and teacher differ in channels."""

    same_shape = False  # it fits them itself

    def __init__(self, loss_weight: float, tau: float, student_channels: int | None,
                 teacher_channels: int | None) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.tau = tau
        self.align: nn.Module | None = None
        if student_channels is not None and teacher_channels is not None \
                and student_channels != teacher_channels:
            self.align = nn.Conv2d(student_channels, teacher_channels, 1)

    def _aligned(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if self.align is not None:
            pred = self.align(pred)
        if pred.shape[1] != target.shape[1]:
            raise UserError(f'{type(self).__name__}: the student has {pred.shape[1]} channels, the teacher '
                            f'{target.shape[1]}: set student_channels and teacher_channels')
        if pred.shape[-2:] != target.shape[-2:]:
            target = F.interpolate(target, size=pred.shape[-2:], mode='bilinear', align_corners=False)
        return pred / self.tau, target.detach() / self.tau


@MODELS.register_module()
class ChannelDistributionLoss(_AlignedLoss):
    """Cross entropy of each channel's distribution over the positions (CWD without the entropy).

    The teacher's entropy is not subtracted: the gradient is that of the KL divergence.

    Args:
        loss_weight: Factor of the loss.
        tau: Temperature.
        student_channels: With ``teacher_channels``, when the two differ: a 1x1 convolution is learnt.
        teacher_channels: See ``student_channels``.
    """

    def __init__(self, loss_weight: float = 10.0, tau: float = 1.0, student_channels: int | None = None,
                 teacher_channels: int | None = None) -> None:
        super().__init__(loss_weight, tau, student_channels, teacher_channels)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """The loss, a scalar, of maps ``(B, C, h, w)``; the teacher's is resized to the student's."""
        channels = pred.shape[1]  # the student's own, as the authors have it
        pred, target = self._aligned(pred, target)
        loss = -(target.flatten(2).softmax(-1) * pred.flatten(2).log_softmax(-1)).sum()
        return self.loss_weight * self.tau**2 * loss / (pred.shape[0] * channels)


@MODELS.register_module()
class PixelKLLoss(_AlignedLoss):
    """KL divergence of each pixel's distribution over the classes.

    Args:
        loss_weight: Factor of the loss.
        tau: Temperature.
        student_channels: With ``teacher_channels``, when the two differ: a 1x1 convolution is learnt.
        teacher_channels: See ``student_channels``.
        reduction: 'mean' over all elements (the authors'), 'sum', 'batchmean' (the sum over the images) or
            'none'.

    Raises:
        UserError: On another reduction.
    """

    def __init__(self, loss_weight: float = 10.0, tau: float = 1.0, student_channels: int | None = None,
                 teacher_channels: int | None = None, reduction: str = 'mean') -> None:
        super().__init__(loss_weight, tau, student_channels, teacher_channels)
        if reduction not in _REDUCTIONS:
            raise UserError(f"PixelKLLoss: reduction='{reduction}'{did_you_mean(reduction, _REDUCTIONS)} "
                            f'(choose from {", ".join(_REDUCTIONS)})')
        self.reduction = reduction

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """The loss of logits ``(B, K, h, w)``; the teacher's is resized to the student's.

        A scalar, but ``(B, K, h, w)`` with the reduction 'none'.
        """
        pred, target = self._aligned(pred, target)
        loss = F.kl_div(pred.log_softmax(1), target.softmax(1), reduction='none')
        if self.reduction == 'mean':
            loss = loss.mean()
        elif self.reduction != 'none':
            loss = loss.sum() / (len(pred) if self.reduction == 'batchmean' else 1)
        return self.loss_weight * self.tau**2 * loss

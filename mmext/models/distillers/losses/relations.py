"""Distillation of how samples (or channels) relate to each other; widths need not agree."""
from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mmext.errors import UserError
from mmext.registry import MODELS


@MODELS.register_module()
class BatchSimilarityLoss(nn.Module):
    """Distance of row-normalised batch Gram matrices: DisWOT's relation metric, 'SP' of Tung and Mori.

    ``sum (G_t - G_s)^2 / B^2`` (DisWOT, Dong et al., CVPR 2023, section 3.2). Channels and sizes may differ.
    """

    same_shape = False

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compare features ``(B, ...)`` of the same samples."""
        student, teacher = (F.normalize(_gram(one), dim=1) for one in (pred, target))
        return (teacher - student).square().sum() / len(pred)**2


@MODELS.register_module()
class InterChannelCorrelationLoss(nn.Module):
    """Distance of row-normalised channel Gram matrices: DisWOT's semantic metric, ICKD without embedding.

    ``sum (E_s - E_t)^2 / (C N)`` with ``E = x x^T`` of ``x (N, C, P)``. For P = 1 the closed form

    ``1 / (C N) sum_n |u(t_n)|^2 + |u(s_n)|^2 - 2 (u(t_n) . u(s_n)) cos(t_n, s_n)``

    needs no C x C matrix. Here ``u(x) = x |x| / max(abs(x) |x|, eps)``, the signs but for rows that are too
    small to be normalised: those of classes that a saturated softmax leaves next to no gradient.
    """

    same_shape = False

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compare ``(N, C, ...)`` of the same N and C.

        Raises:
            UserError: If they are not.
        """
        if pred.shape[:2] != target.shape[:2]:
            raise UserError(f'InterChannelCorrelationLoss: the student has {tuple(pred.shape[:2])} samples '
                            f'and channels, the teacher {tuple(target.shape[:2])}: they must be the same')
        count, width = pred.shape[:2]
        student, teacher = pred.reshape(count, width, -1), target.reshape(count, width, -1)
        if student.shape[2] == teacher.shape[2] == 1:
            return _of_single_positions(student.squeeze(2), teacher.squeeze(2)) / (width * count)
        own, other = (F.normalize(one @ one.transpose(1, 2), dim=-1) for one in (student, teacher))
        return (own - other).square().sum() / (width * count)


def _of_single_positions(student: Tensor, teacher: Tensor) -> Tensor:
    own, other = _signs(student), _signs(teacher)
    cosine = (F.normalize(student, dim=1) * F.normalize(teacher, dim=1)).sum(1)
    return ((own.square() + other.square()).sum(1) - 2 * (own * other).sum(1) * cosine).sum()


def _signs(x: Tensor, eps: float = 1e-12) -> Tensor:
    """Signs of ``(N, C)``; less where a row of ``x x^T`` is shorter than the ``eps`` of F.normalize."""
    rows = x * x.norm(dim=1, keepdim=True)
    return rows / rows.abs().clamp_min(eps)


@MODELS.register_module()
class RelationalKDLoss(nn.Module):
    """Distances and angles between samples (RKD, Park et al., CVPR 2019, eqs. 5 to 9).

    Args:
        distance: Weight of the Huber distance of all pairwise distances, each divided by their mean.
        angle: Weight of the Huber distance of the cosines of the angles of all triplets.
    """

    same_shape = False

    def __init__(self, distance: float = 25.0, angle: float = 50.0) -> None:
        super().__init__()
        self.distance, self.angle = distance, angle

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compare embeddings ``(B, ...)`` of the same samples."""
        student, teacher = pred.flatten(1), target.flatten(1)
        loss = pred.new_zeros(())
        if self.distance:
            loss = loss + self.distance * F.smooth_l1_loss(_distances(student), _distances(teacher))
        if self.angle:
            loss = loss + self.angle * F.smooth_l1_loss(_angles(student), _angles(teacher))
        return loss


def _gram(features: Tensor) -> Tensor:
    flat = features.flatten(1)
    return flat @ flat.t()


def _distances(features: Tensor) -> Tensor:
    squared = (features[:, None] - features[None]).square().sum(-1)
    distances = squared.clamp_min(1e-12).sqrt() * (squared > 0)
    positive = distances[distances > 0]
    return distances / positive.mean() if len(positive) else distances


def _angles(features: Tensor) -> Tensor:
    sides = F.normalize(features[None] - features[:, None], dim=2)
    return sides @ sides.transpose(1, 2)

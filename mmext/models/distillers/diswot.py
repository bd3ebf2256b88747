"""DisWOT: how well an untrained student would learn from a teacher, from one forward pass of each.

DisWOT: Student Architecture Search for Distillation WithOut Training (Dong et al., CVPR 2023, arXiv
2303.15678), section 3.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .losses.relations import BatchSimilarityLoss, InterChannelCorrelationLoss


@dataclass(frozen=True)
class Response:
    """What one network says to a batch.

    Attributes:
        maps: Features before pooling, ``(B, C, H, W)``.
        gradient: Of the cross-entropy by the classifier's weight, ``(K, C)``.
    """

    maps: Tensor
    gradient: Tensor


def classifier_gradient(logits: Tensor, labels: Tensor, pooled: Tensor) -> Tensor:
    """Gradient of the mean cross-entropy by a linear classifier's weight, without any backward pass.

    ``(softmax - onehot)^T pooled / B``.

    Args:
        logits: ``(B, K)``.
        labels: ``(B,)``.
        pooled: What the classifier saw, ``(B, C)``.

    Returns:
        ``(K, C)``.
    """
    errors = logits.softmax(1) - F.one_hot(labels, logits.shape[1])
    return errors.t() @ pooled / len(logits)


def semantic_score(student: Tensor, teacher: Tensor) -> Tensor:
    """Minus the inter-channel distance of two classifier gradients ``(K, C)``, in closed form.

    Widths that differ have no published answer: then the classes' own Gram matrices are compared.
    """
    if student.shape != teacher.shape:
        return -BatchSimilarityLoss()(student, teacher)
    return -InterChannelCorrelationLoss()(student[..., None], teacher[..., None])


def scores(student: Response, teacher: Response) -> dict[str, float]:
    """The two scores of a student and their sum; higher is better.

    Args:
        student: Of the candidate.
        teacher: To the same batch.
    """
    with torch.inference_mode():
        semantic = float(semantic_score(student.gradient, teacher.gradient))
        relation = float(-BatchSimilarityLoss()(student.maps, teacher.maps))
    return dict(semantic=semantic, relation=relation, diswot=semantic + relation)

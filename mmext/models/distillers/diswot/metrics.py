"""DisWOT's metrics: how well an untrained student would learn, from one forward pass of each.

DisWOT: Student Architecture Search for Distillation WithOut Training (Dong et al., CVPR 2023, arXiv
2303.15678), section 3.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mmext.errors import UserError

from ..losses.relations import BatchSimilarityLoss, InterChannelCorrelationLoss


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
    errors = logits.log_softmax(1).exp() - F.one_hot(labels, logits.shape[1])  # rounds as autograd does
    return errors.t() @ pooled / len(logits)


def semantic_score(student: Tensor, teacher: Tensor) -> Tensor:
    """Minus the inter-channel distance of two classifier gradients ``(K, C)``, in closed form.

    Widths that differ have no published answer: then the classes' own Gram matrices are compared.
    """
    if student.shape != teacher.shape:
        return -BatchSimilarityLoss()(student, teacher)
    return -InterChannelCorrelationLoss()(student[..., None], teacher[..., None])


def scores(student: Response, teacher: Response, relation: str = 'batch') -> dict[str, float]:
    """The two scores of a student and their sum; higher is better.

    Args:
        student: Of the candidate.
        teacher: To the same batch.
        relation: 'batch', the paper's relation of the samples, or 'first_image': what the authors' scripts
            compute, the relation of the channels of the first sample (which needs as many in both).

    Raises:
        UserError: If 'first_image' is asked for of maps of other channels.
    """
    maps = student.maps, teacher.maps
    if relation == 'first_image':
        if maps[0].shape[1] != maps[1].shape[1]:
            raise UserError(f"relation='first_image' needs maps of as many channels: the student's have "
                            f"{maps[0].shape[1]}, the teacher's {maps[1].shape[1]}; take relation='batch'")
        maps = maps[0][0], maps[1][0]
    with torch.inference_mode():
        semantic = float(semantic_score(student.gradient, teacher.gradient))
        related = float(-BatchSimilarityLoss()(*maps))
    return dict(semantic=semantic, relation=related, diswot=semantic + related)

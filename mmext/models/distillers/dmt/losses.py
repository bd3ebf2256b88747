"""The losses of DMT: tokens, and relations between tokens."""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmext.errors import UserError
from mmext.registry import MODELS

from .tokens import Tokens, normalised, read_tokens, relations


class _TokenLoss(nn.Module):
    """Student's and teacher's tokens, brought to one grid.

    The context may have ``token_weights``: a weight for each patch of the student's whole grid.
    """

    whole_records = True
    needs_context = True

    def __init__(self, student_extra: int = 1, teacher_extra: int = 1, eps: float = 1e-6) -> None:
        super().__init__()
        self.student_extra, self.teacher_extra, self.eps = student_extra, teacher_extra, eps

    def _pair(self, preds: list[Tensor], targets: list[Tensor], context: dict[str, Any]
              ) -> tuple[Tokens, Tokens, Tensor | None]:
        image = tuple(context['inputs'].shape[-2:])
        ours = read_tokens(preds, image, self.student_extra, "the student's tokens")
        theirs = normalised(read_tokens(targets, image, self.teacher_extra, "the teacher's tokens"), self.eps)
        weights = context.get('token_weights')
        if weights is not None and ours.kept is not None:
            weights = weights.gather(1, ours.kept)
        return ours, theirs.resized(ours.grid).at(ours.kept), weights


@MODELS.register_module()
class TokenFeatureLoss(_TokenLoss):
    """Smooth L1 distance of projected tokens to a teacher's normalised ones, mean over tokens and channels.

    Args:
        beta: Where the loss turns from squared to absolute.
        cls_weight: Weight of the class token, where both networks have one.
        patch_weight: Weight of each patch.
        student_extra: Tokens of the student before its patches.
        teacher_extra: Tokens of the teacher before its patches.
        eps: Of the layer norm without parameters that the teacher's tokens go through.

    Raises:
        UserError: If a weight is negative or both are 0.
    """

    def __init__(self, beta: float = 2.0, cls_weight: float = 1.0, patch_weight: float = 1.0,
                 student_extra: int = 1, teacher_extra: int = 1, eps: float = 1e-6) -> None:
        super().__init__(student_extra, teacher_extra, eps)
        if min(cls_weight, patch_weight) < 0 or cls_weight == patch_weight == 0:
            raise UserError(f'TokenFeatureLoss: cls_weight={cls_weight}, patch_weight={patch_weight} must '
                            'not be negative, nor both 0')
        self.beta, self.cls_weight, self.patch_weight = beta, cls_weight, patch_weight

    def forward(self, preds: list[Tensor], targets: list[Tensor], context: dict[str, Any]) -> Tensor:
        """The loss, a scalar.

        Args:
            preds: The student's tokens, projected to the teacher's width, see :func:`read_tokens`.
            targets: The teacher's.
            context: Has ``inputs``.

        Raises:
            UserError: If the widths differ.
        """
        ours, theirs, weights = self._pair(preds, targets, context)
        if ours.patches.shape != theirs.patches.shape:
            raise UserError(f'TokenFeatureLoss: the projected tokens are {tuple(ours.patches.shape)}, the '
                            f"teacher's {tuple(theirs.patches.shape)}: is its channels= right?")
        terms = self._distance(ours.patches, theirs.patches) * self.patch_weight
        if ours.cls is not None and theirs.cls is not None:
            cls_term = self._distance(ours.cls, theirs.cls).unsqueeze(1) * self.cls_weight
            terms = torch.cat([cls_term, terms], dim=1)
            if weights is not None:  # the class token goes with the mean of its image's patches
                weights = torch.cat([weights.mean(1, keepdim=True), weights], dim=1)
        return (terms if weights is None else terms * weights).mean()

    def _distance(self, pred: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(pred, target, beta=self.beta, reduction='none').mean(-1)


@MODELS.register_module()
class TokenRelationLoss(_TokenLoss):
    """KL divergence of how each patch relates to the others; widths need not agree.

    Rows are ``softmax(x_i . x_j / sqrt(C))``; mean over all rows of ``KL(teacher || student)``.

    Args:
        student_extra: Tokens of the student before its patches.
        teacher_extra: Tokens of the teacher before its patches.
        eps: Of the layer norm without parameters that the teacher's tokens go through.
    """

    def forward(self, preds: list[Tensor], targets: list[Tensor], context: dict[str, Any]) -> Tensor:
        """The loss, a scalar.

        Args:
            preds: The student's tokens, see :func:`read_tokens`.
            targets: The teacher's.
            context: Has ``inputs``.
        """
        ours, theirs, weights = self._pair(preds, targets, context)
        student = relations(ours.patches).log_softmax(-1)
        teacher = relations(theirs.patches).log_softmax(-1)
        rows = F.kl_div(student, teacher, reduction='none', log_target=True).sum(-1)
        return (rows if weights is None else rows * weights).mean()

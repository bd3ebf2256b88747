"""The loss of H-GKD: a teacher's hidden map behind the mask."""
from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mmext.errors import UserError, did_you_mean
from mmext.registry import MODELS

from .masks import read_masks, spread

SUPERVISE = ('masked', 'all')
KINDS = ('smooth_l1', 'l2')


@MODELS.register_module()
class MaskedMapLoss(nn.Module):
    """Distance to the teacher's normalised map, mean over the supervised places and channels.

    Args:
        kind: 'smooth_l1' or 'l2'.
        supervise: 'masked' places, or 'all'.
        beta: Where smooth L1 turns from squared to absolute.
        eps: Of the layer norm without parameters, over channels, that the target goes through.

    Raises:
        UserError: On another ``kind`` or ``supervise``.
    """

    needs_context = True

    def __init__(self, kind: str = 'smooth_l1', supervise: str = 'masked', beta: float = 2.0,
                 eps: float = 1e-6) -> None:
        super().__init__()
        for key, value, known in (('kind', kind, KINDS), ('supervise', supervise, SUPERVISE)):
            if value not in known:
                raise UserError(f"MaskedMapLoss: {key}='{value}'{did_you_mean(value, known)} (choose from "
                                f'{", ".join(known)})')
        self.kind, self.supervise, self.beta, self.eps = kind, supervise, beta, eps

    def forward(self, pred: Tensor, target: Tensor, context: dict[str, Any]) -> Tensor:
        """The loss, a scalar.

        Args:
            pred: The student's map ``(B, D, h, w)``, brought to the teacher's width.
            target: The teacher's.
            context: Has ``data_samples`` with masks.
        """
        target = F.layer_norm(target.movedim(1, -1), target.shape[1:2], eps=self.eps).movedim(-1, 1)
        if self.kind == 'l2':
            terms = F.mse_loss(pred, target, reduction='none').mean(1)
        else:
            terms = F.smooth_l1_loss(pred, target, beta=self.beta, reduction='none').mean(1)
        if self.supervise == 'all':
            return terms.mean()
        masks, visible = read_masks(context['data_samples'], 'MaskedMapLoss')
        if visible == masks[0].numel():
            raise UserError("MaskedMapLoss: supervise='masked', but nothing is masked")
        places = spread(masks, (terms.shape[1], terms.shape[2]), 'MaskedMapLoss').to(terms)
        return (terms * places).sum() / places.sum()

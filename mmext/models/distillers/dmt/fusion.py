"""How several teachers are weighed against each other."""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmext.errors import UserError, did_you_mean

from .tokens import relations

FUSIONS = ('sum', 'uncertainty', 'agreement')


class TeacherFusion(nn.Module):
    """The share of each teacher.

    With K teachers: 'sum' gives each 1 / K; 'uncertainty' learns a log-variance s for each, so that its
    losses L count ``(exp(-s) L + s) / K`` (Kendall et al., CVPR 2018, up to a factor); 'agreement' gives
    each token of a teacher its share by how much the relations of this token resemble the other teachers'.

    Args:
        kind: One of these.
        teachers: Number of teachers K.

    Raises:
        UserError: On another kind.
    """

    def __init__(self, kind: str, teachers: int) -> None:
        super().__init__()
        if kind not in FUSIONS:
            raise UserError(f"fusion='{kind}'{did_you_mean(kind, FUSIONS)} (choose from "
                            f'{", ".join(FUSIONS)})')
        self.kind = kind
        self.share = 1. if kind == 'agreement' else 1 / teachers
        self.log_variance = nn.Parameter(torch.zeros(teachers)) if kind == 'uncertainty' else None

    @staticmethod
    @torch.no_grad()
    def agreement(patches: Sequence[Tensor]) -> Tensor:
        """Weights ``(K, B, n)``: softmax over the teachers of the mean cosine to the others' relation rows.

        Args:
            patches: Each teacher's normalised patches ``(B, n, C)``, on one grid.
        """
        rows = torch.stack([F.normalize(relations(one).softmax(-1), dim=-1) for one in patches])
        if len(rows) == 1:
            return rows.new_ones(rows.shape[:3])
        cosines = (rows * rows.sum(0)).sum(-1) - 1  # each is as itself
        return (cosines / (len(rows) - 1)).softmax(0)

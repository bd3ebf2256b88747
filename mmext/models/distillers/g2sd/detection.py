"""Stage 2 of G2SD for detection: a plain ViT as a detector's backbone, and the losses of its pyramid."""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models.backbones import ViTSAM
from torch import Tensor, nn

from mmext.errors import UserError
from mmext.registry import MODELS


@MODELS.register_module()
class ViTDet(ViTSAM):
    """mmpretrain's ViT with windowed attention, as a backbone of detectors: one map of stride 16.

    Weights of plain ViTs load into it, stage 1's too (``prefix='student.backbone.'``): position tables are
    resized, the class token's row is left out.

    Args:
        arch: As for ``mmpretrain.ViTSAM``, with ``global_attn_indexes``: the blocks that see all of the
            map (the last of each quarter in ViTDet).
        out_channels: 0: the map of the last block.
        **kwargs: As for ``mmpretrain.ViTSAM``.

    Example:
        >>> backbone = dict(type='mmext.ViTDet', img_size=1024, arch=dict(
        ...     embed_dims=384, num_layers=12, num_heads=6, feedforward_channels=1536,
        ...     global_attn_indexes=[2, 5, 8, 11]))
    """

    def __init__(self, arch: str | dict = 'base', out_channels: int = 0, **kwargs: Any) -> None:
        super().__init__(arch, out_channels=out_channels, **kwargs)

    def _prepare_pos_embed(self, state_dict: dict[str, Tensor], prefix: str, *args: Any,
                           **kwargs: Any) -> None:
        table = state_dict.get(f'{prefix}pos_embed')
        if table is not None and table.ndim == 3:  # of a plain ViT: (1, tokens, C)
            side = int(table.shape[1]**0.5)
            patches = table[:, table.shape[1] - side * side:]
            state_dict[f'{prefix}pos_embed'] = patches.unflatten(1, (side, side))
        super()._prepare_pos_embed(state_dict, prefix, *args, **kwargs)


class _PyramidLoss(nn.Module):
    """Of what a neck and a region proposal network give, one after the other, in student and teacher.

    A record for it has both: ``types=['SimpleFeaturePyramid', 'RPNHead']``.

    Args:
        levels: Number of levels of the pyramid.
    """

    whole_records = True

    def __init__(self, levels: int = 5) -> None:
        super().__init__()
        self.levels = levels

    def _split(self, values: list[Tensor], who: str) -> tuple[list[Tensor], list[Tensor]]:
        """Features ``(B, C, H, W)`` and objectness logits ``(B, A, H, W)`` of the levels."""
        if len(values) != 3 * self.levels:
            raise UserError(f'{type(self).__name__}: the {who} gives {len(values)} tensors; expected '
                            f'{self.levels} maps, scores and boxes each: record '
                            "types=['SimpleFeaturePyramid', 'RPNHead'] (or your neck's and RPN's) and give "
                            'the number of levels')
        return values[:self.levels], values[self.levels:2 * self.levels]

    @staticmethod
    def _where(objectness: Tensor) -> Tensor:
        """How much a place is looked at ``(B, H, W)``: the teacher's greatest objectness of the anchors."""
        return objectness.sigmoid().amax(1).detach()


@MODELS.register_module()
class ObjectFeatureLoss(_PyramidLoss):
    """Squared distance of the pyramids, where the teacher sees objects (G2SD's code for detection).

    ``sum over levels of sum((T - adapt(S))^2 m) / sum(m)`` with m the teacher's greatest objectness of a
    place, and ``adapt`` a 3x3 convolution of each level.

    Args:
        channels: Of the student's pyramid.
        teacher_channels: Of the teacher's; None: the same.
        levels: Number of levels.
        loss_weight: Factor of the loss.
    """

    def __init__(self, channels: int = 256, teacher_channels: int | None = None, levels: int = 5,
                 loss_weight: float = 1.0) -> None:
        super().__init__(levels)
        self.loss_weight = loss_weight
        self.adapt = nn.ModuleList(
            nn.Conv2d(channels, teacher_channels or channels, 3, padding=1) for _ in range(levels))

    def forward(self, preds: list[Tensor], targets: list[Tensor]) -> Tensor:
        """The loss, a scalar.

        Args:
            preds: The student's maps, objectness and boxes of all levels.
            targets: The teacher's.

        Raises:
            UserError: If levels, sizes or channels do not fit.
        """
        total = preds[0].new_zeros(())
        ours, theirs = self._split(preds, 'student'), self._split(targets, 'teacher')
        for level, adapt in enumerate(self.adapt):
            if ours[0][level].shape[1] != adapt.in_channels:
                raise UserError(f'ObjectFeatureLoss: channels={adapt.in_channels}, but level {level} of the '
                                f'student has {ours[0][level].shape[1]}')
            pred, target = adapt(ours[0][level]), theirs[0][level]
            if pred.shape != target.shape:
                raise UserError(f'ObjectFeatureLoss: level {level} is {tuple(pred.shape)} in the student, '
                                f'{tuple(target.shape)} in the teacher: give teacher_channels, and necks of '
                                'the same strides')
            mask = self._where(theirs[1][level])
            total = total + ((target - pred).square().sum(1) * mask).sum() / mask.sum()
        return self.loss_weight * total


@MODELS.register_module()
class ObjectnessLoss(_PyramidLoss):
    """Cross entropy of student's and teacher's objectness, where the teacher sees objects.

    ``sum over levels of sum(BCE(sigmoid(s), sigmoid(t)) m) / sum(m)``, m as in :class:`ObjectFeatureLoss`.

    Args:
        levels: Number of levels.
        loss_weight: Factor of the loss.
    """

    def __init__(self, levels: int = 5, loss_weight: float = 1.0) -> None:
        super().__init__(levels)
        self.loss_weight = loss_weight

    def forward(self, preds: list[Tensor], targets: list[Tensor]) -> Tensor:
        """The loss, a scalar.

        Args:
            preds: The student's maps, objectness and boxes of all levels.
            targets: The teacher's.

        Raises:
            UserError: If the anchors or sizes differ.
        """
        total = preds[0].new_zeros(())
        ours, theirs = self._split(preds, 'student')[1], self._split(targets, 'teacher')[1]
        for level, (pred, target) in enumerate(zip(ours, theirs)):
            if pred.shape != target.shape:
                raise UserError(f'ObjectnessLoss: level {level} is {tuple(pred.shape)} in the student, '
                                f'{tuple(target.shape)} in the teacher: give both the same anchors')
            mask = self._where(target)
            terms = F.binary_cross_entropy_with_logits(pred, target.sigmoid(), reduction='none').sum(1)
            total = total + (terms * mask).sum() / mask.sum()
        return self.loss_weight * torch.as_tensor(total)

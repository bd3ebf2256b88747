"""CI-CAM's teachers: they also learn from their own foreground and background."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.models.classifiers import ImageClassifier
from torch import Tensor

from mmext.errors import UserError, did_you_mean
from mmext.registry import MODELS

from .cam_to_box import CAMToBox
from .head import CICAMHead

AUX = ('diff', 'aux', 'fore', 'back')


@MODELS.register_module()
class CICAMClassifier(ImageClassifier):
    """mmpretrain's classifier with :class:`CICAMHead` and losses of the masked picture.

    The combined map cuts the picture into foreground and background, and both are classified, without
    context: ``fore`` is the cross entropy of the foreground, ``diff`` that of the difference of the logits,
    ``aux`` that of the mean of difference and down branch, ``back`` minus the entropy of the background.

    Args:
        aux_type: Any of 'diff', 'aux', 'fore', 'back': ('fore', ) made the authors' classification teacher,
            ('diff', 'aux') their localisation teacher.
        aux_rate: Weight of each of them.
        seg_thr: Threshold of the foreground, as a share of the map's maximum.
        kwargs: As for mmpretrain's ImageClassifier.

    Raises:
        UserError: On an unknown ``aux_type``, a negative weight, or another head.

    Example:
        >>> model = dict(type='mmext.CICAMClassifier', aux_type=('fore', ), seg_thr=0.08,
        ...              backbone=dict(type='mmext.NonLocalVGG16'),
        ...              head=dict(type='mmext.CICAMHead', num_classes=200, in_channels=512, spa_weight=0.04))
    """

    def __init__(self, *args: Any, aux_type: Sequence[str] = ('fore', ), aux_rate: float = 1.0,
                 seg_thr: float = 0.08, **kwargs: Any) -> None:
        for kind in aux_type:
            if kind not in AUX:
                raise UserError(f"CICAMClassifier: aux_type='{kind}'{did_you_mean(kind, AUX)} (choose from "
                                f'{", ".join(AUX)})')
        if aux_rate < 0:
            raise UserError(f'CICAMClassifier: aux_rate={aux_rate} must not be negative')
        super().__init__(*args, **kwargs)
        if not isinstance(self.head, CICAMHead):
            raise UserError(f'CICAMClassifier needs the head mmext.CICAMHead, not {type(self.head).__name__}')
        self.aux_type, self.aux_rate = tuple(aux_type), aux_rate
        own: CAMToBox = self.head.localizer
        self.cutter = CAMToBox(seg_thr, own.function, own.mean_num)

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """The head's losses and ``loss_<aux type>``.

        Args:
            inputs: ``(B, 3, H, W)``.
            data_samples: With a ``gt_label`` each.
        """
        found = self.head.branches(self.extract_feat(inputs))
        losses = self.head.losses_of(found, data_samples)
        if not self.aux_type or not self.aux_rate:
            return losses
        with torch.no_grad():
            maps = self.head.combined(found).float()
            height, width = inputs.shape[2:]
            inside = self.cutter.foreground(maps, (height, width))[1][:, None]
        front = self._logits(inputs * inside) if self.aux_type != ('back', ) else found.down_logits
        behind = front
        if set(self.aux_type) - {'fore'}:
            behind = self._logits(inputs * ~inside)
        difference = front - behind
        scores = dict(fore=front, diff=difference, aux=(difference + found.down_logits) / 2)
        for kind in self.aux_type:
            value = -_entropy(behind) if kind == 'back' else \
                self.head._get_loss(scores[kind], data_samples)['loss']
            losses[f'loss_{kind}'] = self.aux_rate * value
        return losses

    def _logits(self, inputs: Tensor) -> Tensor:
        features = self.head.pre_logits(self.extract_feat(inputs))
        return self.head.fc(features.mean((2, 3)))


def _entropy(logits: Tensor) -> Tensor:
    """Entropy in bits, averaged over classes and images."""
    return -(logits.softmax(1) * logits.log_softmax(1)).mean() / torch.log(torch.tensor(2.))

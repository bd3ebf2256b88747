"""The head of CI-CAM: a classifier whose maps show where, before and after the context is seen."""
from __future__ import annotations

from typing import Any, NamedTuple

import torch
from mmpretrain.models.heads import ClsHead
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.nn import functional as F

from mmext.errors import UserError
from mmext.registry import MODELS, TASK_UTILS

from .context_pool import ContextPool


class Branches(NamedTuple):
    """What both branches of the head find.

    Attributes:
        features: ``(B, C, h, w)``: the backbone's map.
        up_logits: ``(B, K)``: of it.
        down_features: The map with the context; the backbone's without a pool.
        down_logits: ``(B, K)``: of that, the scores of the head.
    """

    features: Tensor
    up_logits: Tensor
    down_features: Tensor
    down_logits: Tensor


class ClassActivation(nn.Module):
    """Class activation maps: a linear classifier at every position, without its bias."""

    def forward(self, features: Tensor, weight: Tensor) -> Tensor:
        """``(B, C, h, w)`` and ``(K, C)`` to ``(B, K, h, w)``."""
        return F.conv2d(features, weight[:, :, None, None])


@MODELS.register_module()
class CICAMHead(ClsHead):
    """Classification with causal intervention on the context (CI-CAM), and the object's box.

    The backbone's map is classified (the "up" branch), the pool's map of that class multiplies the map, and
    the same classifier runs again (the "down" branch), whose scores and maps are the head's. Modules to
    record in a :class:`mmext.Distiller`: ``head.scores``, the logits, and ``head.cam``, the maps of all
    classes.

    Predictions have ``pred_cam`` ``(h, w)``, the combined map, and ``pred_box`` ``(4, )``, in pixels of the
    network's input, the ends exclusive.

    Args:
        num_classes: K.
        in_channels: C of the backbone's last map.
        context: Arguments of :class:`ContextPool` (``size``, ``update_rate``); None: no pool, which is
            NL-CCAM.
        localizer: Config of :class:`CAMToBox`, of its type.
        up_weight: Of the cross entropy of the up branch: 1 where CI-CAM itself is trained, 0 for the student.
        spa_weight: Of the mean of the combined map, which keeps it small.
        stride: Of the backbone, to know a picture's size where no sample says it.
        loss: As in mmpretrain.
        init_cfg: As for every mmengine module.

    Raises:
        UserError: If a weight is negative or an argument of the pool is unknown.

    Example:
        >>> head = dict(type='mmext.CICAMHead', num_classes=200, in_channels=512,
        ...             context=dict(size=14, update_rate=0.002))
    """

    def __init__(self, num_classes: int, in_channels: int, context: dict | None = dict(),  # noqa: B006
                 localizer: dict | None = None, up_weight: float = 1.0, spa_weight: float = 0.0,
                 stride: int = 16, loss: dict | None = None, init_cfg: Any = None, **kwargs: Any) -> None:
        super().__init__(loss=loss or dict(type='mmpretrain.CrossEntropyLoss'),
                         init_cfg=init_cfg or dict(type='Normal', layer='Linear', std=0.01), **kwargs)
        for name, value in (('up_weight', up_weight), ('spa_weight', spa_weight)):
            if value < 0:
                raise UserError(f'CICAMHead: {name}={value} must not be negative')
        if num_classes < 2:
            raise UserError(f'CICAMHead: num_classes={num_classes}: a map needs another class to stand out '
                            'from; give at least 2')
        self.num_classes, self.in_channels, self.stride = num_classes, in_channels, stride
        self.up_weight, self.spa_weight = up_weight, spa_weight
        self.fc = nn.Linear(in_channels, num_classes)
        try:
            self.context = None if context is None else ContextPool(num_classes, in_channels, **context)
        except TypeError as error:
            raise UserError(f'CICAMHead: context={context}: {error}; it takes size and update_rate') from None
        self.localizer = TASK_UTILS.build({'type': 'mmext.CAMToBox', **(localizer or {})})
        self.scores, self.cam = nn.Identity(), ClassActivation()

    def branches(self, feats: Any) -> Branches:
        """Run both branches.

        Args:
            feats: The backbone's maps; the last is used.

        Raises:
            UserError: If that is no map of ``in_channels``.
        """
        features = self.pre_logits(feats)
        if not isinstance(features, Tensor) or features.ndim != 4 or features.shape[1] != self.in_channels:
            shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise UserError(f'CICAMHead: needs a map (B, {self.in_channels}, h, w) from the backbone, but '
                            f'gets {shape}: set in_channels, and leave out a neck that pools (neck=None)')
        up_logits = self.fc(features.mean((2, 3)))
        down = features if self.context is None else self.context(features, up_logits.argmax(1))
        down_logits = up_logits if self.context is None else self.fc(down.mean((2, 3)))
        return Branches(features, up_logits, down, self.scores(down_logits))

    def forward(self, feats: Any) -> Tensor:
        """Scores ``(B, K)``; ``head.cam`` runs too, for who records it."""
        found = self.branches(feats)
        self.cam(found.down_features, self.fc.weight)
        return found.down_logits

    def combined(self, found: Branches) -> Tensor:
        """The map of the object, ``(B, h, w)``, with a gradient in training."""
        return self.localizer.combine_features(found.down_features, self.fc.weight, found.down_logits)

    def loss(self, feats: Any, data_samples: list[DataSample], **kwargs: Any) -> dict[str, Tensor]:
        """Losses of a batch; the pool learns from it too.

        Args:
            feats: The backbone's maps.
            data_samples: With a ``gt_label`` each.
            kwargs: For the loss module.
        """
        return self.losses_of(self.branches(feats), data_samples, **kwargs)

    def losses_of(self, found: Branches, data_samples: list[DataSample], **kwargs: Any) -> dict[str, Tensor]:
        """As :meth:`loss`, of branches that have been run."""
        losses = self._get_loss(found.down_logits, data_samples, **kwargs)
        self.cam(found.down_features, self.fc.weight)
        if self.up_weight and self.context is not None:
            up = self._get_loss(found.up_logits, data_samples, **kwargs)['loss']
            losses['loss_up'] = self.up_weight * up
        if self.spa_weight:
            losses['loss_spa'] = self.spa_weight * self.combined(found).mean()
        if self.training:
            self._learn_context(found, data_samples)
        return losses

    @torch.no_grad()
    def _learn_context(self, found: Branches, data_samples: list[DataSample]) -> None:
        if self.context is None:
            return
        if any('gt_score' in sample for sample in data_samples):
            raise UserError('CICAMHead: the context pool needs one gt_label a sample; mixed labels (Mixup, '
                            'CutMix) have none: take batch_augments out, or set context=None')
        labels = torch.cat([sample.gt_label for sample in data_samples]).to(found.up_logits.device)
        predicted = found.up_logits.argmax(1)
        rows = self.fc.weight[predicted].to(found.features.dtype)
        maps = torch.einsum('bc,bchw->bhw', rows, found.features)
        self.context.update(self.context.gathered(maps, predicted, labels))

    def predict(self, feats: Any, data_samples: list[DataSample | None] | None = None) -> list[DataSample]:
        """Scores, labels, combined maps and boxes.

        Args:
            feats: The backbone's maps.
            data_samples: Filled, where given; their ``img_shape`` is the size of the network's input.
        """
        found = self.branches(feats)
        maps = self.combined(found).detach().float()
        samples = self._get_predictions(found.down_logits, data_samples)
        height, width = (side * self.stride for side in maps.shape[1:])
        sizes = [tuple(sample.get('img_shape', (height, width)))[:2] for sample in samples]
        for sample, one, box in zip(samples, maps, self.localizer(maps, sizes), strict=True):
            sample.set_field(one, 'pred_cam')
            sample.set_field(box.to(one.device), 'pred_box')
        return samples

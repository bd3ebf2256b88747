"""What usually surrounds each class, and how it corrects a feature map (CI-CAM, section 3.3)."""
from __future__ import annotations

import torch
import torch.distributed as dist
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmext.errors import UserError


class ContextPool(BaseModule):
    """A map of attention per class, gathered from the class activation maps of the training images.

    The authors put the map of the predicted class into its channel of an all-zero ``(K, h, w)`` tensor and
    apply a 1 x 1 convolution to that. One channel is all that such a convolution sees, so this is the outer
    product of a column of its weight and the map: no K-channel tensor is made.

    The pool is a persistent buffer; the authors keep it in a second file beside the weights.

    Args:
        num_classes: K.
        channels: Of the feature map.
        size: Height and width of the pool; a feature map of another size sees it resized.
        update_rate: Share of each batch's maps that is added, above 0.
        init_cfg: As for every mmengine module.

    Raises:
        UserError: If ``update_rate`` or ``size`` is not positive.
    """

    mask: Tensor

    def __init__(self, num_classes: int, channels: int, size: int | tuple[int, int] = 14,
                 update_rate: float = 0.01, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        height, width = (size, size) if isinstance(size, int) else size
        if update_rate <= 0 or min(height, width) < 1:
            raise UserError(f'ContextPool: update_rate={update_rate} and size={size} must be above 0')
        self.update_rate = update_rate
        self.mask2attention = nn.Conv2d(num_classes, channels, 1)
        self.mask_bn = nn.BatchNorm2d(num_classes)
        # Nothing is learnt here: the update has no gradient. Saying so keeps DDP from waiting for one.
        self.mask_bn.requires_grad_(False)
        self.register_buffer('mask', torch.zeros(num_classes, height, width))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """The feature map with the context of its class taken into account.

        Args:
            features: ``(B, C, h, w)``.
            labels: ``(B, )``: the predicted classes.
        """
        context = self._resized(self.mask[labels], features.shape[2:])
        column = self.mask2attention.weight[:, :, 0, 0].t()[labels]
        bias = self.mask2attention.bias
        assert bias is not None
        attention = column[:, :, None, None] * context[:, None] + bias[:, None, None]
        return features + attention * features

    @staticmethod
    def _resized(maps: Tensor, size: torch.Size) -> Tensor:
        if maps.shape[1:] == size:
            return maps
        return F.interpolate(maps[:, None], size, mode='bilinear', align_corners=False)[:, 0]

    @torch.no_grad()
    def gathered(self, maps: Tensor, predicted: Tensor, labels: Tensor) -> Tensor:
        """Sum over the images that are classified right, each in the channel of its class.

        Args:
            maps: ``(B, h, w)``: the activation maps of the predicted classes.
            predicted: ``(B, )``.
            labels: ``(B, )``: the true classes.

        Returns:
            ``(K, h, w)`` in the size of the pool.
        """
        right = predicted == labels
        maps = self._resized(maps.detach().to(self.mask.dtype), self.mask.shape[1:])
        return torch.zeros_like(self.mask).index_add_(0, labels[right], maps[right])

    @torch.no_grad()
    def update(self, maps: Tensor) -> None:
        """Add the maps of a batch, after all processes have added theirs up.

        Args:
            maps: ``(K, h, w)`` from :meth:`gathered`.
        """
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(maps)
        with torch.autocast(maps.device.type, enabled=False):
            added = self.mask_bn(maps[None])[0] * self.update_rate
            self.mask.copy_(self.mask_bn((self.mask + added)[None])[0])

"""Images for a teacher that was trained with another normalisation than the student."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mmext.errors import UserError


class Renormalise:
    """Undo one data preprocessor's normalisation and do another's, channel order included.

    Padding is changed like every pixel, as if it had been in the image.

    Args:
        name: Of the teacher, for messages.
        given: The preprocessor that made the images; one without statistics normalises nothing.
        wanted: The teacher's.

    Raises:
        UserError: If the teacher's has no mean and standard deviation.
    """

    def __init__(self, name: str, given: nn.Module | None, wanted: nn.Module | None) -> None:
        if not hasattr(wanted, 'mean'):
            raise UserError(f"teacher '{name}': own_preprocessor=True, but its config has no "
                            'data_preprocessor with mean and std')
        self.given: Any = getattr(given, 'data_preprocessor', given)  # that of branches has one inside
        self.wanted: Any = wanted

    def __call__(self, images: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` in the teacher's normalisation.

        Raises:
            UserError: If the images are not one tensor.
        """
        if not isinstance(images, Tensor):
            raise UserError('own_preprocessor=True needs a batch of images in one tensor, not '
                            f'{type(images).__name__}')
        with torch.autocast(images.device.type, enabled=False):
            if hasattr(self.given, 'mean'):
                images = images * self.given.std.to(images) + self.given.mean.to(images)
            if _flips(self.given) != _flips(self.wanted):
                images = images.flip(1)
            return (images - self.wanted.mean.to(images)) / self.wanted.std.to(images)


def _flips(preprocessor: Any) -> bool:
    """Whether it turns BGR into RGB: mmpretrain's and mmengine's own name for it."""
    return bool(getattr(preprocessor, 'to_rgb', False) or getattr(preprocessor, '_channel_conversion', False))

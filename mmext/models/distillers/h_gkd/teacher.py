"""The teacher of H-GKD: a masked autoencoder under a given mask."""
from __future__ import annotations

from typing import Any

from torch import Tensor

from mmext.errors import UserError
from mmext.registry import MODELS

from ..g2sd.hidden_mae import HiddenMAE
from .masks import read_masks, spread


@MODELS.register_module()
class HGKDTeacher(HiddenMAE):
    """A masked autoencoder that gives the map of its decoder, under the masks of the data samples.

    A checkpoint needs its decoder, see :class:`mmext.HiddenMAE`; ``decoder_layer=4`` is the usual choice.

    Args:
        *args: See :class:`mmext.HiddenMAE`.
        **kwargs: See :class:`mmext.HiddenMAE`.

    Example:
        >>> teacher = dict(type='mmext.HGKDTeacher', backbone=dict(arch='b'), decoder_layer=4,
        ...                neck=dict(decoder_embed_dim=512, decoder_depth=8, decoder_num_heads=16))
    """

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Tensor:
        """The decoder's hidden features of all patches ``(B, Dd, h, w)``, not normalised.

        Args:
            inputs: Images ``(B, 3, H, W)`` of the size that it was built for.
            data_samples: With a ``mask`` each.
            mode: Not needed.

        Raises:
            UserError: If there are no masks, or they or the images do not fit its patches.
        """
        masks, visible = read_masks(data_samples, 'HGKDTeacher')
        grid = self.backbone.patch_resolution
        size = self.backbone.img_size
        if tuple(inputs.shape[2:]) != tuple(size):
            raise UserError(f'HGKDTeacher: images of {inputs.shape[2]}x{inputs.shape[3]}, but img_size is '
                            f'{size[0]}x{size[1]}')
        patches = spread(masks, grid, 'HGKDTeacher')
        visible *= patches[0].numel() // masks[0].numel()
        noise = patches.flatten(1).float().to(inputs.device, non_blocking=True)
        tokens = self.hidden(inputs, noise, visible).decoder[:, 1:]
        return tokens.transpose(1, 2).unflatten(2, tuple(grid))

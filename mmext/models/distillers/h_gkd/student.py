"""The student of H-GKD: a sparse convolutional network with a decoder in the manner of a UNet."""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models.selfsup.spark import SparK
from mmpretrain.models.utils.sparse_modules import SparseHelper
from torch import Tensor, nn

from mmext.errors import UserError, did_you_mean
from mmext.registry import MODELS

from .masks import has_masks, read_masks, sparse, spread

FEATURES = ('unet', 'pooled')


@MODELS.register_module()
class HGKDStudent(SparK):
    """mmpretrain's SparK that gives the feature map of its decoder.

    Its parts have SparK's names; ``backbone`` loads as it is into the dense network of the same name.
    What the feature map does not need is left out: with ``feature='unet'`` and no ``head``, all but the
    coarsest levels of the decoder.

    Args:
        backbone: ``SparseResNet`` or ``SparseConvNeXt``, with ``out_indices=(0, 1, 2, 3)``.
        neck: ``SparKLightDecoder``.
        head: ``SparKPretrainHead``, for the pixel loss; None leaves it out.
        stride: Of the feature map: the teacher's patch size.
        feature: 'unet': the decoder's map at ``stride``, with the encoder's map of this stride added, as
            the decoder's next level has it; 'pooled': the decoder's last map, averaged over each patch.
        **kwargs: As for ``mmpretrain.SparK``: ``input_size``, ``mask_ratio``, ``enc_dec_norm_cfg``, ...

    Raises:
        UserError: If sizes do not divide each other, or the backbone uses gradient checkpointing.

    Example:
        >>> student = dict(type='mmext.HGKDStudent', enc_dec_norm_dim=2048,
        ...                backbone=dict(type='SparseResNet', depth=50, out_indices=(0, 1, 2, 3)),
        ...                neck=dict(type='SparKLightDecoder', feature_dim=512, upsample_ratio=32))
    """

    mask_tokens: nn.ParameterList

    def __init__(self, backbone: dict[str, Any], neck: dict[str, Any], head: dict[str, Any] | None = None,
                 stride: int = 16, feature: str = 'unet', **kwargs: Any) -> None:
        super().__init__(backbone, neck, head, **kwargs)
        self.downsample = self.downsample_raito
        if feature not in FEATURES:
            raise UserError(f"HGKDStudent: feature='{feature}'{did_you_mean(feature, FEATURES)} (choose from "
                            f'{", ".join(FEATURES)})')
        if self.input_size % self.downsample:
            raise UserError(f'HGKDStudent: input_size={self.input_size} is not a multiple of the stride '
                            f'{self.downsample}; the nearest is '
                            f'{max(round(self.input_size / self.downsample), 1) * self.downsample}')
        if not 0 < self.len_keep <= self.feature_map_size**2:
            raise UserError(f'HGKDStudent: mask_ratio={self.mask_ratio} leaves {self.len_keep} of '
                            f'{self.feature_map_size**2} cells visible; it must be in [0, 1) and leave one')
        levels = {self.downsample // 2**level: level for level in range(len(self.backbone.out_indices))}
        if stride not in levels:
            raise UserError(f'HGKDStudent: stride={stride} is none of the decoder: choose from '
                            f'{", ".join(map(str, levels))}')
        if any(getattr(module, 'with_cp', False) for module in self.backbone.modules()):
            raise UserError('HGKDStudent: with_cp=True recomputes sparse convolutions when their mask is '
                            'gone; leave it out')
        self.stride, self.feature, self.level = stride, feature, levels[stride]
        decoder = self.neck.decoder
        if feature == 'unet':
            self.channels = self.neck.feature_dim // 2**self.level
        else:
            self.channels = self.neck.feature_dim // 2**len(decoder)
        if head is None:
            self.neck.proj = nn.Identity()
            if feature == 'unet':
                self.neck.decoder = decoder[:self.level]
                for name in ('enc_dec_norms', 'enc_dec_projectors'):
                    setattr(self, name, getattr(self, name)[:self.level + 1])
                self.mask_tokens = nn.ParameterList(list(self.mask_tokens)[:self.level + 1])
        self.hidden = nn.Identity()  # the feature map goes through here: a record for the distiller

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        """The feature map where the samples bring masks, else the features of whole images.

        Args:
            inputs: Images ``(B, 3, H, H)``.
            data_samples: With a ``mask`` each.
            mode: 'tensor', or 'loss' for the pixel loss.
        """
        if mode == 'tensor' and has_masks(data_samples):
            return self.decode(inputs, read_masks(data_samples, 'HGKDStudent')[0])[0]
        return super().forward(inputs, data_samples, mode)

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """The backbone's maps of whole images."""
        self._check(inputs, inputs.shape[2] // self.downsample)
        cells = inputs.shape[2] // self.downsample
        with sparse(inputs.new_ones((len(inputs), 1, cells, cells), dtype=torch.bool)):
            return self.backbone(inputs)

    def loss(self, inputs: Tensor, data_samples: Any = None, **kwargs: Any) -> dict[str, Tensor]:
        """SparK's pixel loss, under the samples' masks.

        Raises:
            UserError: If there is no head.
        """
        if not self.with_head:
            raise UserError('HGKDStudent: the pixel loss needs head=dict(type="SparKPretrainHead", ...)')
        masks = read_masks(data_samples, 'HGKDStudent')[0]
        _, image = self.decode(inputs, masks)
        return dict(loss=self.head(image, inputs, ~masks.unsqueeze(1).to(inputs.device)))

    def decode(self, inputs: Tensor, masks: Tensor) -> tuple[Tensor, Tensor | None]:
        """The feature map ``(B, channels, H / stride, H / stride)``, and the image if there is a head.

        Args:
            inputs: Images ``(B, 3, H, H)``.
            masks: ``(B, f, f)``, True where masked.
        """
        self._check(inputs, masks.shape[1])
        visible = ~masks.unsqueeze(1).to(inputs.device, non_blocking=True)
        with sparse(visible):
            pixels = spread(visible.squeeze(1), (inputs.shape[2], inputs.shape[3]), 'HGKDStudent')
            maps = self.backbone(inputs * pixels.unsqueeze(1))[::-1]
            dense = [self._densified(level, maps[level]) for level in range(len(self.enc_dec_norms))]
        x: Any = 0
        found = None
        for level in range(len(self.neck.decoder) + 1):
            if level < len(dense):
                x = x + dense[level]
            if level == self.level and self.feature == 'unet':
                found = self.hidden(x)
            if level < len(self.neck.decoder):
                x = self.neck.decoder[level](x)
        if found is None:
            found = self.hidden(F.avg_pool2d(x, self.stride))
        return found, self.neck.proj(x) if self.with_head else None

    def _densified(self, level: int, value: Tensor) -> Tensor:
        """A map of the encoder for the decoder: normed, mask tokens in the empty places, projected."""
        value = self.enc_dec_norms[level](value)
        visible = SparseHelper._get_active_map_or_index(value.shape[2])
        value = torch.where(visible, value, self.mask_tokens[level].to(value.dtype))
        return self.enc_dec_projectors[level](value)

    def _check(self, inputs: Tensor, cells: int) -> None:
        """The host's sparse modules take square images of whole cells only."""
        height, width = inputs.shape[2:]
        if height != width or height != cells * self.downsample or not cells:
            raise UserError(f'HGKDStudent: images of {height}x{width}; its sparse layers take squares of '
                            f'{max(cells, 1) * self.downsample} pixels here. For other sizes load the '
                            'backbone into the dense network')

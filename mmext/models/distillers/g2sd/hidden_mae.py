"""Masked autoencoders that give hidden features instead of pixels.

Shapes: B images, N patches, n of them visible, D encoder and Dd decoder channels.
"""
from __future__ import annotations

from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModel
from mmpretrain.models.necks.mae_neck import MAEPretrainDecoder
from mmpretrain.models.selfsup.mae import MAEViT
from torch import Tensor, nn

from mmext.errors import UserError
from mmext.registry import MODELS


class Hidden(NamedTuple):
    """What a masked autoencoder makes of a batch.

    Attributes:
        prenorm: Class and visible tokens after the last encoder block ``(B, n + 1, D)``.
        latent: The same after the final norm.
        decoder: Class and all patch tokens after the decoder blocks, not normalised,
            ``(B, N + 1, Dd)``.
        mask: 1 for masked patches ``(B, N)``.
    """

    prenorm: Tensor
    latent: Tensor
    decoder: Tensor
    mask: Tensor


class NoisyMAEViT(MAEViT):
    """mmpretrain's MAE encoder, with the mask made from given noise."""

    def forward(self, x: Tensor, noise: Tensor,
                visible: int | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Tokens before and after the final norm, the mask and the indices that restore the order.

        Args:
            x: Images ``(B, 3, H, W)``.
            noise: One number for each patch ``(B, N)``; patches with the least stay visible.
            visible: How many; by default what ``mask_ratio`` leaves.
        """
        patches = self.patch_embed(x)[0] + self.pos_embed[:, 1:]
        order = noise.argsort(dim=1, stable=True)
        restore = order.argsort(dim=1)
        keep = order[:, :int(patches.shape[1] * (1 - self.mask_ratio)) if visible is None else visible]
        chosen = patches.gather(1, keep.unsqueeze(-1).expand(-1, -1, patches.shape[2]))
        mask = (restore >= keep.shape[1]).to(patches)
        cls_token = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        tokens = torch.cat([cls_token, chosen], dim=1)
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens, self.norm1(tokens), mask, restore


class HiddenDecoder(MAEPretrainDecoder):
    """mmpretrain's MAE decoder up to one of its blocks."""

    def forward(self, x: Tensor, ids_restore: Tensor, depth: int | None = None) -> Tensor:
        """Tokens ``(B, N + 1, Dd)`` after ``depth`` blocks, all of them by default."""
        x = self.decoder_embed(x)
        missing = ids_restore.shape[1] + 1 - x.shape[1]
        patches = torch.cat([x[:, 1:], self.mask_token.expand(len(x), missing, -1)], dim=1)
        patches = patches.gather(1, ids_restore.unsqueeze(-1).expand(-1, -1, x.shape[2]))
        x = torch.cat([x[:, :1], patches], dim=1) + self.decoder_pos_embed
        for block in self.decoder_blocks[:depth]:
            x = block(x)
        return x


class PredictionMLP(nn.Module):
    """Linear, GELU, Linear to the teacher's channels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_channels, out_channels)
        self.fc2 = nn.Linear(out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., in_channels)`` to ``(..., out_channels)``."""
        return self.fc2(nn.functional.gelu(self.fc1(x)))


@MODELS.register_module()
class HiddenMAE(BaseModel):
    """A masked autoencoder whose output is its hidden features.

    Its parts have the names of ``mmpretrain.MAE`` (``backbone``, ``neck``), so that such a checkpoint
    with its decoder loads as it is.

    Args:
        backbone: Settings of ``mmpretrain.MAEViT``: ``arch``, ``img_size``, ``patch_size``, ``mask_ratio``.
        neck: Settings of ``mmpretrain.MAEPretrainDecoder``: ``decoder_embed_dim``, ``decoder_depth``,
            ``decoder_num_heads``.
        decoder_layer: Number of decoder blocks that run; all of them by default.
        data_preprocessor: As for every mmengine model.
        init_cfg: As for every mmengine module.

    Raises:
        UserError: If there are fewer decoder blocks than ``decoder_layer``.

    Example:
        >>> teacher = dict(type='mmext.HiddenMAE', backbone=dict(arch='b'), decoder_layer=4,
        ...                neck=dict(decoder_embed_dim=512, decoder_depth=8, decoder_num_heads=16))
    """

    def __init__(self, backbone: dict[str, Any], neck: dict[str, Any], decoder_layer: int | None = None,
                 data_preprocessor: dict | None = None, init_cfg: Any = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = NoisyMAEViT(**backbone)
        self.neck = HiddenDecoder(
            num_patches=self.backbone.num_patches, patch_size=backbone.get('patch_size', 16),
            embed_dim=self.backbone.embed_dims, **neck)
        for unused in (self.neck.decoder_norm, self.neck.decoder_pred):  # pixels are not predicted
            unused.requires_grad_(False)
        depth = len(self.neck.decoder_blocks)
        if decoder_layer is not None and not 1 <= decoder_layer <= depth:
            raise UserError(f'HiddenMAE: decoder_layer={decoder_layer!r}, but the decoder has {depth} blocks')
        self.decoder_layer = decoder_layer

    def noise(self, inputs: Tensor) -> Tensor:
        """Random numbers ``(B, N)`` from which masks are made."""
        return torch.rand(len(inputs), self.backbone.num_patches, device=inputs.device)

    def hidden(self, inputs: Tensor, noise: Tensor, visible: int | None = None) -> Hidden:
        """Features of images ``(B, 3, H, W)``, see :class:`Hidden` and :class:`NoisyMAEViT`."""
        prenorm, latent, mask, restore = self.backbone(inputs, noise, visible)
        return Hidden(prenorm, latent, self.neck(latent, restore, self.decoder_layer), mask)

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Tensor:
        """The decoder's hidden features ``(B, N + 1, Dd)`` under a random mask."""
        return self.hidden(inputs, self.noise(inputs)).decoder


@MODELS.register_module()
class G2SDStudent(HiddenMAE):
    """The student of stage 1: a masked autoencoder that predicts its teacher's features.

    Args:
        backbone: See :class:`HiddenMAE`.
        neck: See :class:`HiddenMAE`.
        decoder_channels: Channels of the teacher's decoder.
        encoder_channels: Channels of the teacher's encoder; None leaves out the prediction of its
            features, which has weight 0 in the authors' recipe.
        supervise: 'all' tokens, or the 'masked' patches only.
        **kwargs: See :class:`HiddenMAE`.

    Raises:
        UserError: If ``supervise`` is something else.

    Example:
        >>> student = dict(type='mmext.G2SDStudent', backbone=dict(arch='deit-s'), decoder_channels=512,
        ...                neck=dict(decoder_embed_dim=256, decoder_depth=4, decoder_num_heads=8))
    """

    def __init__(self, backbone: dict[str, Any], neck: dict[str, Any], decoder_channels: int,
                 encoder_channels: int | None = None, supervise: str = 'all', **kwargs: Any) -> None:
        super().__init__(backbone, neck, **kwargs)
        if supervise not in ('all', 'masked'):
            raise UserError(f"G2SDStudent: supervise='{supervise}' is neither 'all' nor 'masked'")
        self.supervise = supervise
        self.decoder_mlp = PredictionMLP(self.neck.decoder_pos_embed.shape[-1], decoder_channels)
        self.encoder_mlp = None if encoder_channels is None else PredictionMLP(
            self.backbone.embed_dims, encoder_channels)

    def supervised(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Those of the tokens ``(B, N + 1, C)`` that are compared."""
        return tokens if self.supervise == 'all' else tokens[:, 1:][mask.bool()]

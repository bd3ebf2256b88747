"""Stage 1 of G2SD: predict the hidden features of a masked autoencoder, without labels."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor

from mmext.errors import UserError
from mmext.registry import MODELS

from ..frozen_network import FrozenNetwork, TeacherOwner
from .hidden_mae import G2SDStudent, HiddenMAE
from .losses import HiddenFeatureLoss


@MODELS.register_module()
class G2SDPretrain(TeacherOwner, BaseModel):
    """A small masked autoencoder learns the hidden features of a large one, under the same mask.

    The state dict has the student only (``student.backbone.*`` is what stage 2 starts from). The
    teacher needs its decoder: a checkpoint of the encoder alone is refused, because a random decoder
    gives targets that are noise.

    Args:
        student: Settings of :class:`mmext.G2SDStudent` (``type`` may be left out).
        teacher: ``dict(model=<settings of mmext.HiddenMAE>, checkpoint=FILE)``, or ``random=True``.
        decoder_loss_weight: Weight of the decoder's features.
        encoder_loss_weight: Weight of the encoder's, 0 in the authors' recipe; otherwise the student
            needs ``encoder_channels``.
        beta: Of the smooth L1 loss.
        data_preprocessor: As for every mmpretrain model.
        init_cfg: As for every mmengine module.

    Raises:
        UserError: If channels or numbers of patches of the two do not fit.

    Example:
        >>> model = dict(type='mmext.G2SDPretrain', student=student,
        ...              teacher=dict(model=teacher, checkpoint='mae_vit-base_1600e.pth'))
    """

    def __init__(self, student: dict[str, Any], teacher: Mapping[str, Any],
                 decoder_loss_weight: float = 1.0, encoder_loss_weight: float = 0.0, beta: float = 2.0,
                 data_preprocessor: dict | None = None, init_cfg: Any = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.student: Any = MODELS.build({'type': 'mmext.G2SDStudent', **student})
        self.networks = {'teacher': FrozenNetwork.from_cfg('teacher', teacher)}
        model = self.networks['teacher'].module
        if not isinstance(self.student, G2SDStudent) or not isinstance(model, HiddenMAE):
            raise UserError('G2SDPretrain: expected student=dict(type=\'mmext.G2SDStudent\') and '
                            'teacher.model=dict(type=\'mmext.HiddenMAE\'), not '
                            f'{type(self.student).__name__} and {type(model).__name__}')
        self.loss_decoder = HiddenFeatureLoss(decoder_loss_weight, beta)
        self.loss_encoder = HiddenFeatureLoss(encoder_loss_weight, beta)
        patches = [network.backbone.num_patches for network in (self.student, model)]
        if patches[0] != patches[1]:
            raise UserError(f'G2SDPretrain: the student has {patches[0]} patches, the teacher {patches[1]}; '
                            'give both the same img_size and patch_size')
        self._check('decoder_channels', self.student.decoder_mlp, model.neck.decoder_pos_embed.shape[-1])
        if encoder_loss_weight:
            self._check('encoder_channels', self.student.encoder_mlp, model.backbone.embed_dims)
        elif self.student.encoder_mlp is not None:
            self.student.encoder_mlp.requires_grad_(False)  # it would get no gradient

    @staticmethod
    def _check(name: str, mlp: Any, expected: int) -> None:
        given = None if mlp is None else mlp.fc2.out_features
        if given != expected:
            raise UserError(f'G2SDPretrain: student.{name}={given}, but the teacher has {expected}')

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        """The losses with mode 'loss', otherwise the student's hidden features."""
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        return self.student(inputs, data_samples, mode)

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """The student's hidden features ``(B, N + 1, Dd)``."""
        return self.student(inputs)

    def loss(self, inputs: Tensor, data_samples: Any = None, noise: Tensor | None = None,
             **kwargs: Any) -> dict[str, Tensor]:
        """The losses by name.

        Args:
            inputs: Images ``(B, 3, H, W)``.
            data_samples: Not needed.
            noise: What the mask is made from ``(B, N)``; random by default.
            kwargs: Not needed.
        """
        self.prepare_teachers()
        student, teacher = self.student, self.networks['teacher'].module
        noise = student.noise(inputs) if noise is None else noise
        with torch.no_grad():
            target = teacher.hidden(inputs, noise)
        ours = student.hidden(inputs, noise)
        losses = dict(loss_decoder=self.loss_decoder(
            student.decoder_mlp(student.supervised(ours.decoder, ours.mask)),
            student.supervised(target.decoder, ours.mask)))
        if self.loss_encoder.loss_weight:
            losses['loss_encoder'] = self.loss_encoder(student.encoder_mlp(ours.latent), target.prenorm)
        return losses

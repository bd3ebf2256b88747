"""Stage 2 of G2SD for classification: a ViT with its distillation token at the end, and its head."""
from __future__ import annotations

from typing import Any

import torch
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.heads import DeiTClsHead
from mmpretrain.models.utils import resize_pos_embed
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmext.registry import MODELS


@MODELS.register_module()
class DistTokenViT(VisionTransformer):
    """mmpretrain's ViT with a distillation token after the patches, without a position.

    ``mmpretrain.DistilledVisionTransformer`` has it second and with a row in ``pos_embed``, so that
    encoders of stage 1 do not load into it; they load into this one.

    Args:
        **kwargs: As for ``mmpretrain.VisionTransformer``. With ``out_type='cls_token'`` (default)
            each output is the pair of class and distillation token ``(B, C)``.

    Example:
        >>> backbone = dict(type='mmext.DistTokenViT', arch='deit-small')
    """

    def __init__(self, arch: str | dict = 'deit-small', **kwargs: Any) -> None:
        super().__init__(arch, **kwargs)
        self.dist_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))

    def init_weights(self) -> None:
        """The distillation token too."""
        super().init_weights()
        if not (isinstance(self.init_cfg, dict) and self.init_cfg['type'] == 'Pretrained'):
            nn.init.trunc_normal_(self.dist_token, std=0.02)

    def forward(self, x: Tensor) -> tuple[Any, ...]:
        """Outputs of ``out_indices`` for images ``(B, 3, H, W)``."""
        patches, resolution = self.patch_embed(x)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), patches], dim=1)
        tokens = tokens + resize_pos_embed(
            self.pos_embed, self.patch_resolution, resolution, mode=self.interpolate_mode,
            num_extra_tokens=self.num_extra_tokens)
        tokens = torch.cat([tokens, self.dist_token.expand(len(x), -1, -1)], dim=1)
        tokens = self.pre_norm(self.drop_after_pos(tokens))
        outputs = []
        for index, layer in enumerate(self.layers):
            tokens = layer(tokens)
            if index == len(self.layers) - 1 and self.final_norm:
                tokens = self.ln1(tokens)
            if index in self.out_indices:
                outputs.append(self._format_output(tokens, resolution))
        return tuple(outputs)

    def _format_output(self, x: Tensor, hw: tuple[int, int]) -> Any:
        if self.out_type == 'cls_token':
            return x[:, 0], x[:, -1]
        return super()._format_output(x if self.out_type == 'raw' else x[:, :-1], hw)


@MODELS.register_module()
class DistTokenClsHead(DeiTClsHead):
    """Class scores from the class token; the distillation token's are learnt from a teacher.

    The layers are ``layers.head`` and ``layers.head_dist``: records for a distiller.

    Args:
        average: Predict the mean of both scores; False: the class token's alone.
        **kwargs: As for ``mmpretrain.DeiTClsHead``.
    """

    def __init__(self, *args: Any, average: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.average = average

    def scores(self, feats: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
        """Logits ``(B, K)`` of the class and of the distillation token."""
        cls_token, dist_token = self.pre_logits(feats)
        return self.layers.head(cls_token), self.layers.head_dist(dist_token)

    def forward(self, feats: tuple[Any, ...]) -> Tensor:
        """Logits ``(B, K)`` to predict with."""
        first, second = self.scores(feats)
        return (first + second) / 2 if self.average else first

    def loss(self, feats: tuple[Any, ...], data_samples: list[DataSample],
             **kwargs: Any) -> dict[str, Tensor]:
        """The loss of the class token's logits; the other ones are for the distiller."""
        return self._get_loss(self.scores(feats)[0], data_samples, **kwargs)

"""O2DETR: "Oriented Object Detection with Transformer" (Ma et al., 2021, arXiv 2106.03146).

There is no official code. Stated in the paper: a DETR for oriented boxes whose encoder mixes tokens by
depth-wise separable convolution. Everything finer is this project's definition, written in the README.
"""
from __future__ import annotations

from typing import Any

from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models.detectors.base_detr import DetectionTransformer
from mmdet.models.layers import SinePositionalEncoding
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.o2detr_encoder import DSConvEncoder
from .rotated_detr import RotatedDeformableDETR


@MODELS.register_module()
class O2DETR(RotatedDeformableDETR):
    """Rotated Deformable-DETR with the convolutional encoder.

    Args:
        encoder: Arguments of :class:`.DSConvEncoder`.
        bbox_head: Config of :class:`.RotatedDeformableDETRHead`.
        with_box_refine, as_two_stage: Both off in the base model.
        box_space, decoder, ...: See :class:`.RotatedDeformableDETR`.

    Example:
        >>> cfg = Config.fromfile('configs/o2detr/o2detr_r50_8xb2-50e_dota.py')
        >>> model = MODELS.build(cfg.model)
    """

    def _init_layers(self) -> None:
        self.positional_encoding = SinePositionalEncoding(**self.positional_encoding)
        self.encoder = DSConvEncoder(**{'num_levels': self.num_feature_levels, **self.encoder})
        self.decoder = self._build_decoder(self.decoder)
        dims = self.embed_dims = self.encoder.embed_dims
        if self.decoder.embed_dims != dims:
            raise ValueError(f'encoder.embed_dims={dims}, but the decoder has {self.decoder.embed_dims}')
        self.level_embed = nn.Parameter(Tensor(self.num_feature_levels, dims).normal_())
        if self.as_two_stage:
            self.memory_trans_fc = nn.Linear(dims, dims)
            self.memory_trans_norm = nn.LayerNorm(dims)
            self.pos_trans_fc = nn.Linear(2 * dims, 2 * dims)
            self.pos_trans_norm = nn.LayerNorm(2 * dims)
        else:
            self.query_embedding = nn.Embedding(self.num_queries, 2 * dims)
            self.reference_points_fc = nn.Linear(dims, 2)

    def init_weights(self) -> None:
        """The encoder's own, otherwise Deformable DETR's."""
        self.encoder.init_layers()
        for parameter in self.decoder.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for module in self.decoder.modules():
            if isinstance(module, MultiScaleDeformableAttention):
                module.init_weights()
        linears = (self.memory_trans_fc, self.pos_trans_fc) if self.as_two_stage else (
            self.reference_points_fc, )
        for linear in linears:
            nn.init.xavier_uniform_(linear.weight)
        nn.init.normal_(self.level_embed)
        if self.decoder.position_relation is not None:
            self.decoder.position_relation.proj.reset_parameters()
        # Last, so that weights of a checkpoint stay.
        super(DetectionTransformer, self).init_weights()

    def forward_encoder(self, feat: Tensor, feat_mask: Tensor | None, feat_pos: Tensor,
                        spatial_shapes: Tensor, **_: Any) -> dict[str, Any]:
        """Memory ``(B, S, C)``."""
        memory = self.encoder(feat, feat_pos, feat_mask, spatial_shapes)
        return dict(memory=memory, memory_mask=feat_mask, spatial_shapes=spatial_shapes)

"""O2DETR: "Oriented Object Detection with Transformer" (Ma et al., 2021, arXiv 2106.03146).

There is no official code. Stated in the paper: a DETR for oriented boxes whose encoder mixes tokens by
depth-wise separable convolution. Everything finer is this project's definition, written in the README.
"""
from __future__ import annotations

from typing import Any

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models.detectors.base_detr import DetectionTransformer
from mmdet.models.layers import SinePositionalEncoding
from mmdet.structures import SampleList
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.o2detr_encoder import DSConvEncoder
from .rotated_detr import RotatedDeformableDETR


@MODELS.register_module()
class O2DETR(RotatedDeformableDETR):
    """Rotated Deformable-DETR with the convolutional encoder.

    Args:
        encoder: Arguments of :class:`.DSConvEncoder`.
        refine_head: Config of :class:`.O2DETRRefineHead`, for F-O2DETR; None: the base model.
        bbox_head: Config of :class:`.RotatedDeformableDETRHead`.
        with_box_refine, as_two_stage: Both off in the base model.
        box_space, decoder, ...: See :class:`.RotatedDeformableDETR`.

    Example:
        >>> cfg = Config.fromfile('configs/o2detr/o2detr_r50_8xb2-50e_dota.py')
        >>> model = MODELS.build(cfg.model)
    """

    def __init__(self, *args: Any, refine_head: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.refine_head = None if refine_head is None else MODELS.build(refine_head)

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

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """The host's losses, and those of the cascade."""
        if self.refine_head is None:
            return super().loss(batch_inputs, batch_data_samples)
        maps, logits, boxes, head_inputs = self._proposals(batch_inputs, batch_data_samples)
        losses = self.bbox_head.loss(**head_inputs, batch_data_samples=batch_data_samples)
        gts = [InstanceData(bboxes=self.space.canonical(sample.gt_instances.bboxes),
                            labels=sample.gt_instances.labels) for sample in batch_data_samples]
        metas = [sample.metainfo for sample in batch_data_samples]
        losses.update(self.refine_head.loss(maps, boxes, logits, gts, metas, self.bbox_head.assigner))
        return losses

    def predict(self, batch_inputs: Tensor, batch_data_samples: SampleList,
                rescale: bool = True) -> SampleList:
        """The host's predictions, or the cascade's."""
        if self.refine_head is None:
            return super().predict(batch_inputs, batch_data_samples, rescale)
        maps, _, boxes, _ = self._proposals(batch_inputs, batch_data_samples)
        logits, boxes = self.refine_head.predict(maps, boxes)
        metas = [sample.metainfo for sample in batch_data_samples]
        normalised = torch.stack([self.space.encode(one, meta['img_shape'])
                                  for one, meta in zip(boxes, metas)])
        found = self.bbox_head.predict_by_feat(logits[None], normalised[None], metas, rescale)
        return self.add_pred_to_datasample(batch_data_samples, found)

    def _proposals(self, batch_inputs: Tensor, batch_data_samples: SampleList,
                   ) -> tuple[list[Tensor], Tensor, Tensor, dict[str, Any]]:
        """Encoder maps, the last layer's logits ``(B, N, K)`` and boxes in pixels, the head's inputs."""
        encoder, decoder = self.pre_transformer(self.extract_feat(batch_inputs), batch_data_samples)
        encoded = self.forward_encoder(**encoder)
        inputs, head_inputs = self.pre_decoder(**encoded)
        head_inputs.update(self.forward_decoder(**{**decoder, **inputs}))
        logits, boxes = self.bbox_head(head_inputs['hidden_states'], head_inputs['references'])
        pixels = torch.stack([self.space.decode(one, sample.metainfo['img_shape'])
                              for one, sample in zip(boxes[-1].detach(), batch_data_samples)])
        sizes = [(int(height), int(width)) for height, width in encoded['spatial_shapes']]
        tokens = encoded['memory'].split([height * width for height, width in sizes], 1)
        maps = [one.transpose(1, 2).unflatten(-1, size).contiguous() for one, size in zip(tokens, sizes)]
        return maps, logits[-1], pixels, head_inputs

    def forward_encoder(self, feat: Tensor, feat_mask: Tensor | None, feat_pos: Tensor,
                        spatial_shapes: Tensor, **_: Any) -> dict[str, Any]:
        """Memory ``(B, S, C)``."""
        memory = self.encoder(feat, feat_pos, feat_mask, spatial_shapes)
        return dict(memory=memory, memory_mask=feat_mask, spatial_shapes=spatial_shapes)

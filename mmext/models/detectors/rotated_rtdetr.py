"""O2-RTDETR (arXiv 2603.15497, TGRS 2026): RT-DETR's body under the rotated DINO.

Written from the method's definition. The paper's angle distribution refinement is in no released code
and not here either: Chamfer matching and the denoising modes are.
"""
from __future__ import annotations

from typing import Any

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models.detectors.base_detr import DetectionTransformer
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.rotated_rtdetr import RTDETREncoder
from .rotated_detr import RotatedDINO


@MODELS.register_module()
class RotatedRTDETR(RotatedDINO):
    """Real-time rotated DETR with RT-DETR's encoder. Images of a batch have one size.

    Args:
        encoder: Arguments of :class:`.RTDETREncoder`.
        eval_idx: Last decoder layer at inference; -1: all.
        bbox_head: Config of :class:`.RotatedDINOHead`, with ``eps=1e-3``.
        box_space, dn_cfg, ...: See :class:`.RotatedDINO`. Published models have
            ``box_space=dict(angle='add', sampling='official')``, ``noise_mode='only_xyxy'``.
    """

    decoder_cfg = dict(query_pos='mlp5', look_forward_twice=False, output_norm=False, eps=1e-3)
    learned_content = False

    def __init__(self, *args: Any, eval_idx: int = -1, **kwargs: Any) -> None:
        self.__dict__['eval_idx'] = eval_idx
        super().__init__(*args, **kwargs)
        if self.space.dims != 5:
            raise ValueError("RotatedRTDETR needs box_space.angle='add' or 'wrap': its position queries come "
                             'from five numbers')

    def _init_layers(self) -> None:
        self.encoder = RTDETREncoder(**self.encoder)
        self.decoder = self._build_decoder(self.decoder)
        dims = self.embed_dims = self.encoder.embed_dims
        self.memory_trans_fc = nn.Linear(dims, dims)
        self.memory_trans_norm = nn.LayerNorm(dims)

    def init_weights(self) -> None:
        """Xavier in the decoder and the token projection."""
        for parameter in (*self.decoder.parameters(), self.memory_trans_fc.weight):
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for module in self.decoder.modules():
            if isinstance(module, MultiScaleDeformableAttention):
                module.init_weights()
        if self.decoder.position_relation is not None:
            self.decoder.position_relation.proj.reset_parameters()
        # Last, so that weights of a checkpoint stay.
        super(DetectionTransformer, self).init_weights()

    def pre_transformer(self, mlvl_feats: tuple[Tensor, ...], batch_data_samples: Any = None,
                        ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Shapes of the maps; no position, no padding mask."""
        height, width = batch_data_samples[0].batch_input_shape
        shapes = torch.tensor([one.shape[-2:] for one in mlvl_feats], device=mlvl_feats[0].device)
        starts = torch.cat((shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]))
        ratios = mlvl_feats[0].new_ones(len(mlvl_feats[0]), len(mlvl_feats), 2)
        decoder = dict(memory_mask=None, spatial_shapes=shapes, level_start_index=starts,
                       valid_ratios=ratios, aspect=width / height)
        return dict(maps=mlvl_feats, spatial_shapes=shapes), decoder

    def forward_encoder(self, maps: tuple[Tensor, ...], spatial_shapes: Tensor) -> dict[str, Any]:
        """Memory ``(B, S, C)`` of all maps."""
        memory = torch.cat([one.flatten(2).transpose(1, 2) for one in self.encoder(maps)], 1)
        return dict(memory=memory, memory_mask=None, spatial_shapes=spatial_shapes)

    def forward_decoder(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """See the parent's; at inference only the output of layer ``eval_idx`` counts."""
        outputs = super().forward_decoder(*args, **kwargs)
        if not self.training:
            last = self.eval_idx % self.decoder.num_layers
            outputs = dict(hidden_states=outputs['hidden_states'][:last + 1],
                           references=outputs['references'][:last + 1])
        return outputs

"""Rotated Deformable-DETR, Rotated DINO and RHINO on mmdet's detectors.

RHINO: arXiv 2305.07598 (WACV 2025). Its repository is CC BY-NC, and nothing of it is here: this is written
from the definition of the method. Defaults are for new training; see ``configs/rotated_detr``
for the published settings.

Shapes: B images, S tokens, N queries, C channels, D numbers of a reference.
"""
from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from mmdet.models.detectors import DINO, DeformableDETR
from mmdet.structures import SampleList
from torch import Tensor

from ...registry import MODELS
from ..layers.rotated_decoder import RotatedDecoder
from ..layers.rotated_denoising import RotatedCdnQueryGenerator
from ..task_modules.rotated_box_space import RotatedBoxSpace
from .pretrained import load_again

#: Parameters of the published models with the 15 classes of DOTA.
PARAMETERS = {'rotated_deformable_detr_r50': 40_409_686, 'rotated_deformable_detr_refine_r50': 41_093_306,
              'rotated_deformable_detr_refine_twostage_r50': 41_098_700, 'rotated_dino_r50': 47_570_636}


_SPACE = dict(angle='wrap', sampling='exact')
_DENOISING = dict(
    label_noise_scale=0.5, box_noise_scale=1.0, noise_mode='only_xywh',
    group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=100))

# For the type checker a mixin is what it is mixed into.
if TYPE_CHECKING:
    from mmdet.models.detectors import DeformableDETR as _Detector
else:
    _Detector = object


class RotatedDetectorMixin(_Detector):
    """What a host's DETR detector needs for rotated boxes; before it among the parents.

    Args:
        box_space: Arguments of :class:`.RotatedBoxSpace`, for all parts of the model.
    """

    decoder: Any
    encoder: Any
    positional_encoding: Any
    #: Arguments of the decoder that the kind of detector sets.
    decoder_cfg: dict[str, Any] = {}

    def _take_space(self, box_space: dict[str, Any], bbox_head: dict[str, Any]) -> dict[str, Any]:
        """The head's config with the space, which is kept."""
        self.__dict__['space'] = RotatedBoxSpace(**box_space)
        return {**bbox_head, 'box_space': self.space}

    def _init_layers(self) -> None:
        cfg = dict(self.decoder)
        # What the host's decoder, which is built and replaced, does not know.
        own = ('query_pos', 'look_forward_twice', 'output_norm', 'eps', 'position_relation', 'relation')
        self.decoder = {key: value for key, value in cfg.items() if key not in own}
        super()._init_layers()
        self.decoder = self._build_decoder(cfg)

    def _build_decoder(self, cfg: dict[str, Any]) -> RotatedDecoder:
        if cfg.get('position_relation') and not self.with_box_refine:
            raise ValueError('decoder.position_relation needs with_box_refine=True: it looks at the boxes of '
                             'every layer')
        return RotatedDecoder(space=self.space, **{**self.decoder_cfg, **cfg})

    def init_weights(self) -> None:
        """The host's; a position relation keeps a convolution's own."""
        super().init_weights()
        if self.decoder.position_relation is not None:
            self.decoder.position_relation.proj.reset_parameters()
        load_again(self)

    def pre_transformer(self, mlvl_feats: tuple[Tensor, ...], batch_data_samples: Any = None,
                        ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The host's, and the padded image's aspect for the decoder."""
        encoder, decoder = super().pre_transformer(mlvl_feats, batch_data_samples)
        height, width = batch_data_samples[0].batch_input_shape
        return encoder, {**decoder, 'aspect': width / height}

    def gen_encoder_output_proposals(self, memory: Tensor, memory_mask: Tensor | None,
                                     spatial_shapes: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens ``(B, S, C)`` and logits of proposals ``(B, S, 5)``."""
        tokens, proposals = super().gen_encoder_output_proposals(memory, memory_mask, spatial_shapes)
        return tokens, self.space.proposal_channel(proposals)

    def _encoder_heads(self, memory: Tensor, memory_mask: Tensor | None,
                       spatial_shapes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, logits ``(B, S, K)`` and boxes ``(B, S, 5)`` of all of them."""
        tokens, proposals = self.gen_encoder_output_proposals(memory, memory_mask, spatial_shapes)
        if tokens.shape[1] < self.num_queries:
            raise ValueError(f'num_queries={self.num_queries}, but the feature maps of this batch have only '
                             f'{tokens.shape[1]} tokens: lower it or enlarge the images')
        last = self.decoder.num_layers
        boxes = self.space.from_logits(proposals, self.bbox_head.reg_branches[last](tokens))
        return tokens, self.bbox_head.cls_branches[last](tokens), boxes


def gather(tokens: Tensor, indices: Tensor) -> Tensor:
    """Rows ``indices (B, N)`` of ``tokens (B, S, C)``."""
    return tokens.gather(1, indices[..., None].expand(-1, -1, tokens.shape[-1]))


@MODELS.register_module()
class RotatedDeformableDETR(RotatedDetectorMixin, DeformableDETR):
    """Deformable DETR with rotated boxes.

    Args:
        box_space: Arguments of :class:`.RotatedBoxSpace`. Published models have
            ``dict(angle='fresh', sampling='none')``.
        bbox_head: Config of :class:`.RotatedDeformableDETRHead`.
        with_box_refine, as_two_stage, num_queries, ...: See :class:`mmdet.DeformableDETR`.

    Raises:
        ValueError: If the feature maps have fewer tokens than there are queries.
    """

    decoder_cfg = dict(query_pos='given', look_forward_twice=False, output_norm=False, eps=1e-5)

    def __init__(self, *args: Any, bbox_head: dict[str, Any],
                 box_space: dict[str, Any] = _SPACE, **kwargs: Any) -> None:
        super().__init__(*args, bbox_head=self._take_space(box_space, bbox_head), **kwargs)

    def pre_decoder(self, memory: Tensor, memory_mask: Tensor | None,
                    spatial_shapes: Tensor) -> tuple[dict[str, Any], dict[str, Any]]:
        """See the host's; references have D numbers."""
        if not self.as_two_stage:
            return super().pre_decoder(memory, memory_mask, spatial_shapes)
        _, logits, boxes = self._encoder_heads(memory, memory_mask, spatial_shapes)
        best = logits[..., 0].topk(self.num_queries, dim=1)[1]
        references = gather(boxes, best).detach()
        sines = self.get_proposal_pos_embed(references[..., :4].logit(), self.embed_dims // 2)
        query_pos, query = self.pos_trans_norm(self.pos_trans_fc(sines)).chunk(2, -1)
        inputs = dict(query=query, query_pos=query_pos, memory=memory,
                      reference_points=references[..., :self.space.dims])
        outputs = dict(enc_outputs_class=logits, enc_outputs_coord=boxes) if self.training else {}
        return inputs, outputs

    def forward_decoder(self, query: Tensor, query_pos: Tensor, memory: Tensor, memory_mask: Tensor | None,
                        reference_points: Tensor, **kwargs: Any) -> dict[str, Any]:
        """See the host's."""
        states, references = self.decoder(
            query=query, value=memory, query_pos=query_pos, key_padding_mask=memory_mask,
            reference_points=reference_points,
            reg_branches=self.bbox_head.reg_branches if self.with_box_refine else None, **kwargs)
        return dict(hidden_states=states, references=[reference_points, *references])


@MODELS.register_module()
class RotatedDINO(RotatedDetectorMixin, DINO):
    """DINO with rotated boxes; RHINO with the costs and the adaptive denoising of its configs.

    Args:
        box_space: Arguments of :class:`.RotatedBoxSpace`. Published models have
            ``dict(angle='add', sampling='official')``.
        bbox_head: Config of :class:`.RotatedDINOHead`.
        dn_cfg: Arguments of :class:`.RotatedCdnQueryGenerator`.
        num_queries, ...: See :class:`mmdet.DINO`.

    Raises:
        ValueError: If the feature maps have fewer tokens than there are queries.
    """

    decoder_cfg = dict(query_pos='sine', look_forward_twice=True, output_norm=True, eps=1e-3)
    #: Queries start from an embedding (DINO) or from the chosen tokens (RT-DETR).
    learned_content = True

    def __init__(self, *args: Any, bbox_head: dict[str, Any],
                 box_space: dict[str, Any] = _SPACE,
                 dn_cfg: dict[str, Any] = _DENOISING,
                 with_box_refine: bool = True, as_two_stage: bool = True, **kwargs: Any) -> None:
        if not (with_box_refine and as_two_stage):
            raise ValueError(f'{type(self).__name__} needs with_box_refine=True and as_two_stage=True')
        # Not DINO's own, which builds a generator for horizontal boxes.
        super(DINO, self).__init__(*args, bbox_head=self._take_space(box_space, bbox_head),
                                   with_box_refine=True, as_two_stage=True, **kwargs)
        self.dn_query_generator = RotatedCdnQueryGenerator(
            **copy.deepcopy(dict(dn_cfg)), space=self.space, num_classes=self.bbox_head.num_classes,
            embed_dims=self.embed_dims, num_matching_queries=self.num_queries)

    def pre_decoder(self, memory: Tensor, memory_mask: Tensor | None, spatial_shapes: Tensor,
                    batch_data_samples: SampleList | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Denoising queries and the best tokens; see :meth:`mmdet.DINO.pre_decoder`."""
        tokens, logits, boxes = self._encoder_heads(memory, memory_mask, spatial_shapes)
        best = logits.amax(-1).topk(self.num_queries, dim=1)[1]
        logits, boxes = gather(logits, best), gather(boxes, best)
        references = boxes.detach()
        if self.learned_content:
            query = self.query_embedding.weight.expand(len(memory), -1, -1)
        else:
            query = gather(tokens, best)
            query = query.detach() if self.training else query
        inputs: dict[str, Any] = dict(memory=memory, dn_mask=None)
        outputs: dict[str, Any] = {}
        if self.training:
            content, noisy, inputs['dn_mask'], dn_meta = self.dn_query_generator(batch_data_samples)
            # Without ground truth nothing else would give the label embedding a gradient.
            query = query + self.dn_query_generator.label_embedding.weight[0, 0] * 0
            query = torch.cat((content, query), 1)
            references = torch.cat((noisy.sigmoid(), references), 1)
            outputs = dict(enc_outputs_class=logits, enc_outputs_coord=boxes, dn_meta=dn_meta)
        inputs.update(query=query, reference_points=references[..., :self.space.dims])
        return inputs, outputs

    def forward_decoder(self, query: Tensor, memory: Tensor, memory_mask: Tensor | None,
                        reference_points: Tensor, dn_mask: Tensor | None = None,
                        **kwargs: Any) -> dict[str, Any]:
        """See the host's."""
        states, references = self.decoder(
            query=query, value=memory, key_padding_mask=memory_mask, self_attn_mask=dn_mask,
            reference_points=reference_points, reg_branches=self.bbox_head.reg_branches, **kwargs)
        return dict(hidden_states=states, references=[reference_points, *references])

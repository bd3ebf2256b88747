"""Relation-DETR (Hou et al., ECCV 2024, arXiv 2407.11699) on mmdet's DINO.

"Relation DETR: Exploring Explicit Position Relation Prior for Object Detection",
github.com/xiuqhou/Relation-DETR (b485955), Apache-2.0. DINO with memory fusion in the encoder, a
position relation in the decoder, a varifocal classification loss and, in training, a second decoder
pass without relation whose queries are matched several to a box ("hybrid"). The parts where mmdet's
DINO differs from the authors' are named in :mod:`..layers.relation_transformer`.

Shapes: B images, S tokens of the feature maps, N queries, M hybrid queries, C channels, K classes.
"""
from __future__ import annotations

import copy
from typing import Any

import torch
from mmdet.models.detectors import DINO
from mmdet.models.detectors.deformable_detr import DeformableDETR
from mmdet.models.layers import SinePositionalEncoding
from mmdet.structures import SampleList
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.relation_transformer import RelationTransformerDecoder, RelationTransformerEncoder, init_linear

#: Parameters of the published models with the 91 class rows of the released files.
PARAMETERS = {'resnet50': 48_869_312}

_HYBRID = dict(num_queries=1500, num_assign=6)
_DENOISING = dict(label_noise_scale=0.5, box_noise_scale=1.0,
                  group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=100))


@MODELS.register_module()
class RelationDETR(DINO):
    """Relation-DETR.

    With ``hybrid_cfg=None``, ``encoder=dict(memory_fusion=False, ...)``,
    ``decoder=dict(query_scale=False, ...)`` and a focal loss it is the authors' DINO++.

    Args:
        backbone: Any backbone of the hosts; neck: as in DINO.
        encoder: Arguments of :class:`.RelationTransformerEncoder`.
        decoder: Arguments of :class:`.RelationTransformerDecoder`.
        bbox_head: Config of :class:`.RelationDETRHead`.
        num_queries: N.
        hybrid_cfg: ``num_queries``, M (1500), and ``num_assign``, hybrid queries per box (6). None: no
            hybrid branch.
        dn_cfg: Of :class:`mmdet.CdnQueryGenerator`.
        num_feature_levels: Maps that the neck gives.

    Raises:
        ValueError: If the feature maps have fewer tokens than there are queries, or ``hybrid_cfg`` has
            an unknown key.

    Example:
        >>> cfg = Config.fromfile('configs/relation_detr/relation-detr_r50_8xb2-12e_coco.py')
        >>> model = MODELS.build(cfg.model)
        >>> model.init_weights()
    """

    def __init__(self,
                 *args: Any,
                 bbox_head: dict[str, Any],
                 hybrid_cfg: dict[str, int] | None = _HYBRID,
                 dn_cfg: dict[str, Any] = _DENOISING,
                 with_box_refine: bool = True,
                 as_two_stage: bool = True,
                 **kwargs: Any) -> None:
        hybrid = dict(hybrid_cfg or {})
        self.num_hybrid_queries = hybrid.pop('num_queries', 0)
        num_assign = hybrid.pop('num_assign', 6) if self.num_hybrid_queries else 0
        if hybrid:
            raise ValueError(f'hybrid_cfg has no {", ".join(hybrid)}: expected num_queries and num_assign')
        super().__init__(*args, bbox_head={**bbox_head, 'hybrid_assign': num_assign},
                         dn_cfg=copy.deepcopy(dn_cfg), with_box_refine=with_box_refine,
                         as_two_stage=as_two_stage, **kwargs)

    def _init_layers(self) -> None:
        # Until here these are configs.
        self.positional_encoding = SinePositionalEncoding(**self.positional_encoding)  # type: ignore[has-type]
        self.encoder = RelationTransformerEncoder(**self.encoder)  # type: ignore[has-type]
        self.decoder = RelationTransformerDecoder(**self.decoder)  # type: ignore[has-type]
        dims = self.embed_dims = self.encoder.embed_dims
        if 2 * self.positional_encoding.num_feats != dims:
            raise ValueError(f'positional_encoding.num_feats={self.positional_encoding.num_feats}: expected '
                             f'{dims // 2}, half of the embed_dims {dims}')
        self.query_embedding = nn.Embedding(self.num_queries, dims)
        if self.num_hybrid_queries:
            self.hybrid_embedding = nn.Embedding(self.num_hybrid_queries, dims)
        self.level_embed = nn.Parameter(torch.empty(self.num_feature_levels, dims).normal_())
        self.memory_trans_fc = nn.Linear(dims, dims)
        self.memory_trans_norm = nn.LayerNorm(dims)

    def init_weights(self) -> None:
        """The authors' initialisation, which differs from DINO's (see the layers); embeddings N(0, 1)."""
        self.encoder.init_layers()
        self.decoder.init_layers()
        init_linear(self.memory_trans_fc, zero_bias=True)
        nn.init.normal_(self.level_embed)
        # Last, so that weights of a checkpoint stay.
        super(DeformableDETR, self).init_weights()

    def pre_decoder(self,
                    memory: Tensor,
                    memory_mask: Tensor | None,
                    spatial_shapes: Tensor,
                    batch_data_samples: SampleList | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Queries of the decoder: denoising ones, the best tokens, and the hybrid branch's.

        Args:
            memory: ``(B, S, C)``.
            memory_mask: ``(B, S)``, true at padding, or None.
            spatial_shapes: ``(L, 2)``.
            batch_data_samples: Ground truth, in training.

        Returns:
            Inputs of :meth:`forward_decoder` and of the head.
        """
        tokens, proposals = self.gen_encoder_output_proposals(memory, memory_mask, spatial_shapes)
        head, last = self.bbox_head, self.decoder.num_layers
        logits, boxes = self._select(tokens, proposals, head.cls_branches[last], head.reg_branches[last],
                                     self.num_queries, 'num_queries')
        query = self.query_embedding.weight.expand(len(memory), -1, -1)
        references = boxes.detach()
        inputs: dict[str, Any] = dict(memory=memory, dn_mask=None)
        head_inputs: dict[str, Any] = {}
        if self.training:
            dn_query, dn_logits, inputs['dn_mask'], dn_meta = self.dn_query_generator(batch_data_samples)
            # Without ground truth nothing else would give the label embedding a gradient.
            unused = self.dn_query_generator.label_embedding.weight[0, 0] * 0
            query = torch.cat((dn_query, query + unused), dim=1)
            references = torch.cat((dn_logits.sigmoid(), references), dim=1)
            head_inputs.update(enc_outputs_class=logits, enc_outputs_coord=boxes, dn_meta=dn_meta)
            if self.num_hybrid_queries:
                logits, boxes = self._select(tokens, proposals, head.hybrid_cls_branch,
                                             head.hybrid_reg_branch, self.num_hybrid_queries,
                                             'hybrid_cfg.num_queries')
                inputs['hybrid'] = dict(
                    query=self.hybrid_embedding.weight.expand(len(memory), -1, -1),
                    reference_points=boxes.detach())
                head_inputs['hybrid'] = dict(enc_outputs_class=logits, enc_outputs_coord=boxes)
        inputs.update(query=query, reference_points=references)
        return inputs, head_inputs

    @staticmethod
    def _select(tokens: Tensor, proposals: Tensor, cls_branch: nn.Module, reg_branch: nn.Module,
                count: int, name: str) -> tuple[Tensor, Tensor]:
        """Logits ``(B, count, K)`` and boxes ``(B, count, 4)`` of the tokens with the best class."""
        if tokens.shape[1] < count:
            raise ValueError(f'{name}={count}, but the feature maps of this batch have only '
                             f'{tokens.shape[1]} tokens: lower it or enlarge the images')
        logits = cls_branch(tokens)
        best = logits.amax(-1).topk(count, dim=1)[1][..., None]
        boxes = reg_branch(tokens.gather(1, best.expand(-1, -1, tokens.shape[-1])))
        boxes = boxes + proposals.gather(1, best.expand(-1, -1, 4))
        return logits.gather(1, best.expand(-1, -1, logits.shape[-1])), boxes.sigmoid()

    def forward_decoder(self,
                        query: Tensor,
                        memory: Tensor,
                        memory_mask: Tensor | None,
                        reference_points: Tensor,
                        dn_mask: Tensor | None = None,
                        hybrid: dict[str, Tensor] | None = None,
                        **kwargs: Any) -> dict[str, Any]:
        """Run the decoder, in training a second time for the hybrid queries, without relation.

        Args:
            query: ``(B, N, C)``.
            memory: ``(B, S, C)``.
            memory_mask: ``(B, S)`` or None.
            reference_points: ``(B, N, 4)``.
            dn_mask: ``(N, N)`` or None.
            hybrid: ``query`` and ``reference_points`` of the hybrid branch.
            kwargs: Shapes of the maps, see :class:`.RelationTransformerDecoder`.

        Returns:
            ``hidden_states`` and ``references`` of all layers, and in ``hybrid`` those of that branch.
        """
        kwargs.update(value=memory, key_padding_mask=memory_mask, reg_branches=self.bbox_head.reg_branches)
        states, references = self.decoder(query=query, reference_points=reference_points,
                                          self_attn_mask=dn_mask, **kwargs)
        outputs: dict[str, Any] = dict(hidden_states=states, references=references)
        if hybrid is not None:
            states, references = self.decoder(self_attn_mask=None, with_relation=False, **hybrid, **kwargs)
            outputs['hybrid'] = dict(hidden_states=states, references=references)
        return outputs

    def forward_transformer(self, img_feats: tuple[Tensor, ...],
                            batch_data_samples: SampleList | None = None) -> dict[str, Any]:
        """Inputs of the head from the neck's maps; see :class:`mmdet.DINO`."""
        encoder_inputs, decoder_inputs = self.pre_transformer(img_feats, batch_data_samples)
        more, head_inputs = self.pre_decoder(**self.forward_encoder(**encoder_inputs),
                                             batch_data_samples=batch_data_samples)
        outputs = self.forward_decoder(**decoder_inputs, **more)
        if 'hybrid' in outputs:
            head_inputs['hybrid'].update(outputs.pop('hybrid'))
        return {**head_inputs, **outputs}

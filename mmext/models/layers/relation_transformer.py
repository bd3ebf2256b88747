"""Encoder and decoder of Relation-DETR on mmdet's deformable ones.

Differences from mmdet's DINO, all as in the authors' code: the encoder fuses the outputs of its
layers; the decoder's ``ref_point_head`` is half as wide; queries scale their position (as in
DAB-DETR); references are refined with the un-normalised query and ``inverse_sigmoid`` clamps at
1e-3; every layer after the first has the position relation as attention bias.

Shapes: B images, S tokens of the feature maps, N queries, C channels, H heads, L levels.
"""
from __future__ import annotations

from typing import Any

import torch
from mmdet.models.layers import (
    MLP,
    DeformableDetrTransformerEncoder,
    DinoTransformerDecoder,
    coordinate_to_encoding,
    inverse_sigmoid,
)
from torch import Tensor, nn

from ...registry import MODELS
from .position_relation import RELATION

#: What the authors clamp a coordinate with before taking its logit.
EPS = 1e-3


def init_linear(module: nn.Module, zero_bias: bool) -> None:
    """Xavier weights in every linear layer of ``module``."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if zero_bias:
                nn.init.zeros_(layer.bias)


class RelationTransformerEncoder(DeformableDetrTransformerEncoder):
    """Deformable encoder whose output is made of its input and all layers' outputs.

    Args:
        memory_fusion: False gives DINO's encoder.
    """

    def __init__(self, *args: Any, memory_fusion: bool = True, **kwargs: Any) -> None:
        self.with_memory_fusion = memory_fusion
        super().__init__(*args, **kwargs)

    def _init_layers(self) -> None:
        super()._init_layers()
        if self.with_memory_fusion:
            dims = self.embed_dims
            self.memory_fusion = nn.Sequential(
                nn.Linear((self.num_layers + 1) * dims, dims), nn.ReLU(inplace=True),
                nn.Linear(dims, dims), nn.LayerNorm(dims))

    def init_layers(self) -> None:
        """The authors' initialisation of the layers' linear parts."""
        for layer in self.layers:
            init_linear(layer.ffn, zero_bias=False)

    def forward(self, query: Tensor, query_pos: Tensor, key_padding_mask: Tensor | None,
                spatial_shapes: Tensor, level_start_index: Tensor, valid_ratios: Tensor,
                **kwargs: Any) -> Tensor:
        """See the base class; ``(B, S, C)`` to ``(B, S, C)``."""
        kwargs.update(query_pos=query_pos, key_padding_mask=key_padding_mask,
                      spatial_shapes=spatial_shapes, level_start_index=level_start_index,
                      valid_ratios=valid_ratios)
        if not self.with_memory_fusion:
            return super().forward(query=query, **kwargs)
        references = self.get_encoder_reference_points(spatial_shapes, valid_ratios, query.device)
        outputs = [query]
        for layer in self.layers:
            outputs.append(layer(query=outputs[-1], reference_points=references, **kwargs))
        return self.memory_fusion(torch.cat(outputs, dim=-1))


class RelationTransformerDecoder(DinoTransformerDecoder):
    """DINO's decoder with the position relation between its layers.

    The switches beyond the relation give the decoders of the authors' other detectors with it:
    DINO++ (``query_scale=False``), DN- and DAB-Deformable-DETR++ (``shared_norm=False``,
    ``look_forward_twice=False``) and Deformable-DETR++ (those and ``query_scale=False``,
    ``query_pos='initial'``).

    Args:
        position_relation: Config of the relation; its ``num_heads`` are the attention's by default.
            None: no relation.
        relation_in_attention: False leaves the relation without effect. The released
            Deformable-DETR++ computes it and then forgets to give it to the attention, so its
            published weights need False.
        query_scale: Multiply a query's position encoding with an MLP of the query, from the second
            layer on.
        shared_norm: Normalise queries before the heads, with one LayerNorm for all layers.
        look_forward_twice: Let gradients flow from a layer's boxes into the refinement of the layer
            before.
        query_pos: ``'layer'`` encodes the references anew before every layer, relative to the padded
            map; ``'initial'`` the first ones once, relative to the image and with x before y.
    """

    def __init__(self,
                 *args: Any,
                 position_relation: dict[str, Any] | None = RELATION,
                 relation_in_attention: bool = True,
                 query_scale: bool = True,
                 shared_norm: bool = True,
                 look_forward_twice: bool = True,
                 query_pos: str = 'layer',
                 **kwargs: Any) -> None:
        if query_pos not in ('layer', 'initial'):
            raise ValueError(f"query_pos='{query_pos}': expected 'layer' or 'initial'")
        self.relation_cfg = position_relation
        self.relation_in_attention = relation_in_attention
        self.with_query_scale = query_scale
        self.with_shared_norm = shared_norm
        self.look_forward_twice = look_forward_twice
        self.query_pos = query_pos
        super().__init__(*args, **kwargs)

    def _init_layers(self) -> None:
        super(DinoTransformerDecoder, self)._init_layers()
        dims = self.embed_dims
        if self.query_pos == 'initial':
            self.ref_point_head = nn.Sequential(nn.Linear(2 * dims, dims), nn.LayerNorm(dims))
        else:
            self.ref_point_head = MLP(2 * dims, dims, dims, 2)
        if self.with_query_scale:
            self.query_scale = MLP(dims, dims, dims, 2)
        self.norm = nn.LayerNorm(dims) if self.with_shared_norm else nn.Identity()
        self.position_relation = None
        if self.relation_cfg is not None:
            heads = self.layers[0].self_attn.num_heads
            self.position_relation = MODELS.build({'num_heads': heads, **self.relation_cfg})

    def init_layers(self) -> None:
        """The authors' initialisation; the relation keeps a convolution's own."""
        for layer in self.layers:
            init_linear(layer.ffn, zero_bias=False)
            nn.init.xavier_uniform_(layer.self_attn.attn.in_proj_weight)
            nn.init.xavier_uniform_(layer.self_attn.attn.out_proj.weight)
        init_linear(self.ref_point_head, zero_bias=True)
        if self.with_query_scale:
            init_linear(self.query_scale, zero_bias=True)

    def forward(self, query: Tensor, value: Tensor, key_padding_mask: Tensor | None,
                self_attn_mask: Tensor | None, reference_points: Tensor, spatial_shapes: Tensor,
                level_start_index: Tensor, valid_ratios: Tensor, reg_branches: nn.ModuleList,
                with_relation: bool = True, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Refine queries and their boxes.

        Args:
            query: ``(B, N, C)``.
            value: Memory ``(B, S, C)``.
            key_padding_mask: ``(B, S)``, true at padding, or None.
            self_attn_mask: ``(N, N)``, true where attention is forbidden, or None.
            reference_points: ``(B, N, 4)`` initial boxes, cxcywh in [0, 1] of the valid image.
            spatial_shapes: ``(L, 2)``, height and width.
            level_start_index: ``(L, )``.
            valid_ratios: ``(B, L, 2)``, valid share of width and height.
            reg_branches: Box heads, one per layer.
            with_relation: False for queries that are not to see each other's geometry.

        Returns:
            Queries after each layer, ready for the heads, ``(layers, B, N, C)``, and the references
            that its box head starts from, ``(layers, B, N, 4)``.
        """
        ratios = torch.cat((valid_ratios, valid_ratios), dim=-1)[:, None]
        relation = self.position_relation if with_relation and self.relation_in_attention else None
        mask = self_attn_mask
        boxes, encoding = reference_points.detach(), None
        states, references = [], [reference_points]
        for index, layer in enumerate(self.layers):
            reference = references[-1].detach()
            scaled = reference[:, :, None] * ratios
            if self.query_pos == 'layer':
                encoding = self._encode(scaled[:, :, 0])
            elif encoding is None:
                encoding = self._encode(reference[..., [1, 0, 2, 3]])
            scale = self.query_scale(query) if index and self.with_query_scale else 1
            query = layer(query, query_pos=encoding * scale, value=value,
                          key_padding_mask=key_padding_mask, self_attn_mask=mask,
                          spatial_shapes=spatial_shapes, level_start_index=level_start_index,
                          valid_ratios=valid_ratios, reference_points=scaled, **kwargs)
            states.append(self.norm(query))
            if index + 1 == len(self.layers):
                break
            # First the branch with a gradient: autocast keeps the first cast of a weight.
            start = inverse_sigmoid(reference, EPS)
            refined = (reg_branches[index](query) + start).sigmoid()
            if relation is not None:
                with torch.no_grad():
                    previous, boxes = boxes, self._boxes(states[-1], references[-1], refined,
                                                         reg_branches[index])
                mask = relation(previous, boxes, self_attn_mask).flatten(0, 1)
            references.append(refined if self.look_forward_twice else refined.detach())
        return torch.stack(states), torch.stack(references)

    def _encode(self, boxes: Tensor) -> Tensor:
        """Position encoding ``(B, N, C)`` of boxes; their features are in the order y, x, w, h."""
        return self.ref_point_head(coordinate_to_encoding(boxes, num_feats=self.embed_dims // 2))

    def _boxes(self, state: Tensor, reference: Tensor, refined: Tensor,
               branch: nn.Module) -> Tensor:
        """What the head will predict from ``state``."""
        if not self.with_shared_norm:
            return refined
        return (branch(state) + inverse_sigmoid(reference, EPS)).sigmoid()

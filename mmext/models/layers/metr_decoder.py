"""METR's decoder: DINO's, for several sets of queries that see the same image but not each other.

Shapes: B images, k categories, Q queries of each, S tokens, C channels.
"""
from __future__ import annotations

from typing import Any

from mmdet.models.layers.transformer.deformable_detr_layers import DeformableDetrTransformerDecoderLayer
from mmengine.model import ModuleList
from torch import Tensor

from .relation_transformer import RelationTransformerDecoder


class CategoryDecoderLayer(DeformableDetrTransformerDecoderLayer):
    """Self-attention within a category, cross-attention with all categories' queries in one row.

    So the image's values are projected and kept once, not once for every category.
    """

    def forward(self,
                query: Tensor,
                query_pos: Tensor | None = None,
                value: Tensor | None = None,
                key_padding_mask: Tensor | None = None,
                self_attn_mask: Tensor | None = None,
                num_categories: int = 1,
                **kwargs: Any) -> Tensor:
        """``(B, kQ, C)`` to the same.

        Args:
            query: ``(B, kQ, C)``.
            query_pos: ``(B, kQ, C)``.
            value: Memory ``(B, S, C)``.
            key_padding_mask: ``(B, S)``, true at padding.
            self_attn_mask: ``(Q, Q)``, true where attention is forbidden.
            num_categories: k.
        """
        # MultiheadAttention adds query_pos to queries and keys itself.
        grouped = query.reshape(len(query) * num_categories, -1, query.shape[-1])
        position = None if query_pos is None else query_pos.reshape(grouped.shape)
        grouped = self.self_attn(query=grouped, key=grouped, value=grouped, query_pos=position,
                                 key_pos=position, attn_mask=self_attn_mask)
        query = self.norms[0](grouped.reshape(query.shape))
        query = self.cross_attn(query=query, value=value, query_pos=query_pos,
                                key_padding_mask=key_padding_mask, **kwargs)
        return self.norms[2](self.ffn(self.norms[1](query)))


class METRDecoder(RelationTransformerDecoder):
    """DINO's decoder as the authors of METR have it, with :class:`CategoryDecoderLayer`.

    ``forward`` takes ``num_categories`` besides what the base class takes; its queries and references
    are those of all categories one after the other, ``(B, kQ, ...)``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, position_relation=None, query_scale=False, **kwargs)

    def _init_layers(self) -> None:
        super()._init_layers()
        self.layers = ModuleList(CategoryDecoderLayer(**self.layer_cfg) for _ in range(self.num_layers))

"""LMSeg without category guidance: MaskFormer's decoder, and layers that normalise first.

mmdet's DETR layers normalise after the addition; the authors' option ``PRE_NORM`` does it before.

Shapes: B images, Q queries, C channels, M places of the map.
"""
from __future__ import annotations

from typing import Any

import torch
from mmdet.models.layers import DetrTransformerDecoder, DetrTransformerEncoder
from mmdet.models.layers.pixel_decoder import TransformerEncoderPixelDecoder
from mmdet.models.layers.transformer import DetrTransformerDecoderLayer, DetrTransformerEncoderLayer
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from ....registry import MODELS


class _PreNormEncoderLayer(DetrTransformerEncoderLayer):
    def forward(self, query: Tensor, query_pos: Tensor, key_padding_mask: Tensor | None,
                **kwargs: Any) -> Tensor:
        """See :class:`mmdet.models.layers.DetrTransformerEncoderLayer`."""
        y = self.norms[0](query)
        query = self.self_attn(query=y, key=y, value=y, identity=query, query_pos=query_pos,
                               key_pos=query_pos, key_padding_mask=key_padding_mask, **kwargs)
        return self.ffn(self.norms[1](query), query)


class _PreNormEncoder(DetrTransformerEncoder):
    """Layers that normalise first, and a norm at the end."""

    def _init_layers(self) -> None:
        self.layers = ModuleList(_PreNormEncoderLayer(**self.layer_cfg) for _ in range(self.num_layers))
        self.embed_dims = self.layer_cfg['self_attn_cfg']['embed_dims']  # there may be no layer
        self.norm = nn.LayerNorm(self.embed_dims)

    def forward(self, query: Tensor, query_pos: Tensor, key_padding_mask: Tensor | None,
                **kwargs: Any) -> Tensor:
        """See :class:`mmdet.models.layers.DetrTransformerEncoder`."""
        return self.norm(super().forward(query, query_pos, key_padding_mask, **kwargs))


class _PreNormDecoderLayer(DetrTransformerDecoderLayer):
    def forward(self, query: Tensor, key: Tensor, value: Tensor, query_pos: Tensor, key_pos: Tensor,
                **kwargs: Any) -> Tensor:
        """See :class:`mmdet.models.layers.DetrTransformerDecoderLayer`; nothing is masked."""
        y = self.norms[0](query)
        query = self.self_attn(query=y, key=y, value=y, identity=query, query_pos=query_pos,
                               key_pos=query_pos)
        query = self.cross_attn(query=self.norms[1](query), key=key, value=value, identity=query,
                                query_pos=query_pos, key_pos=key_pos)
        return self.ffn(self.norms[2](query), query)


class _PreNormDecoder(DetrTransformerDecoder):
    def _init_layers(self) -> None:
        self.layers = ModuleList(_PreNormDecoderLayer(**self.layer_cfg) for _ in range(self.num_layers))
        self.embed_dims = self.layers[0].embed_dims
        self.post_norm = nn.LayerNorm(self.embed_dims)


@MODELS.register_module()
class PreNormPixelDecoder(TransformerEncoderPixelDecoder):
    """mmdet's, with an encoder whose layers normalise first.

    Args:
        encoder: Of :class:`mmdet.models.layers.DetrTransformerEncoder`.
        **kwargs: Of :class:`mmdet.models.layers.TransformerEncoderPixelDecoder`.
    """

    def __init__(self, encoder: dict, **kwargs: Any) -> None:
        super().__init__(encoder=encoder, **kwargs)
        self.encoder = _PreNormEncoder(**encoder)


class PlainDecoder(BaseModule):
    """MaskFormer's decoder: the queries do not look at the names of the classes.

    Source: the authors' option ``ENABLE_CATEGORY_GUIDED_DECODER=False``, LMSeg's baseline.

    Args:
        channels: C.
        layers: Number of layers.
        heads: Of every attention.
        feedforward_channels: Hidden channels of the MLPs.
        dropout: Of attentions and MLPs.
        encoder_layers: Layers over the map before it is looked at.
        pre_norm: Normalise before attentions and MLPs, not after.
    """

    def __init__(self,
                 channels: int = 256,
                 layers: int = 6,
                 heads: int = 8,
                 feedforward_channels: int = 2048,
                 dropout: float = 0.1,
                 encoder_layers: int = 0,
                 pre_norm: bool = False) -> None:
        super().__init__()
        self.channels = channels
        layer_cfg = detr_layer(channels, heads, feedforward_channels, dropout)
        self.encoder: DetrTransformerEncoder | None = None
        if pre_norm:  # without layers too there is the norm at the end
            self.encoder = _PreNormEncoder(encoder_layers, layer_cfg)
        elif encoder_layers:
            self.encoder = DetrTransformerEncoder(encoder_layers, layer_cfg)
        attention = layer_cfg['self_attn_cfg']
        self.decoder = (_PreNormDecoder if pre_norm else DetrTransformerDecoder)(
            layers, dict(layer_cfg, cross_attn_cfg=dict(attention)))

    def forward(self, query: Tensor, visual: Tensor, position: Tensor, text: Tensor) -> Tensor:
        """The queries after every layer, normalised.

        Args:
            query: ``(B, Q, C)``, their positions; their content is 0.
            visual: ``(B, M, C)``.
            position: ``(1, M, C)``, of keys alone.
            text: Not looked at.

        Returns:
            ``(layers, B, Q, C)``.
        """
        position = position.expand_as(visual)
        if self.encoder is not None:
            visual = self.encoder(visual, position, None)
        return self.decoder(torch.zeros_like(query), key=visual, value=visual, query_pos=query,
                            key_pos=position, key_padding_mask=None)


def detr_layer(channels: int, heads: int, feedforward_channels: int, dropout: float) -> dict[str, Any]:
    """Configuration of a layer of mmdet's DETR, with DETR's dropout."""
    return dict(
        self_attn_cfg=dict(embed_dims=channels, num_heads=heads, attn_drop=dropout, proj_drop=dropout,
                           dropout_layer=None, batch_first=True),
        ffn_cfg=dict(embed_dims=channels, feedforward_channels=feedforward_channels, num_fcs=2,
                     ffn_drop=dropout, act_cfg=dict(type='ReLU', inplace=True)))

"""Encoder of O2DETR: depth-wise separable convolution instead of attention.

Shapes: B images, S tokens of all levels, C channels, level l of height H_l and width W_l.
"""
from __future__ import annotations

from typing import Any

import torch
from mmcv.cnn.bricks.transformer import FFN
from torch import Tensor, nn

_FFN = dict(feedforward_channels=1024, ffn_drop=0.1)


class DSConvLayer(nn.Module):
    """Depth-wise convolution, LayerNorm, ReLU, point-wise convolution; then an FFN. Norms come after.

    Args:
        embed_dims: C.
        ffn_cfg: Arguments of mmcv's FFN.
        num_levels: L.
        share_levels: One set of convolutions for all levels.
    """

    def __init__(self, embed_dims: int, ffn_cfg: dict[str, Any], num_levels: int,
                 share_levels: bool = True) -> None:
        super().__init__()
        count = 1 if share_levels else num_levels
        self.depthwise = nn.ModuleList(
            nn.Conv2d(embed_dims, embed_dims, 3, padding=1, groups=embed_dims) for _ in range(count))
        self.inner_norm = nn.LayerNorm(embed_dims)
        self.pointwise = nn.ModuleList(nn.Linear(embed_dims, embed_dims) for _ in range(count))
        self.norms = nn.ModuleList(nn.LayerNorm(embed_dims) for _ in range(2))
        self.ffn = FFN(embed_dims=embed_dims, **{key: value for key, value in ffn_cfg.items()
                                                 if key != 'embed_dims'})

    def init_weights(self) -> None:
        """Kaiming in the depth-wise, Xavier in the point-wise convolutions, zero biases."""
        for name, parameter in (*self.depthwise.named_parameters(), *self.pointwise.named_parameters()):
            if name.endswith('bias'):
                nn.init.zeros_(parameter)
            elif parameter.dim() == 4:
                nn.init.kaiming_normal_(parameter, mode='fan_in')
            else:
                nn.init.xavier_uniform_(parameter)

    def forward(self, tokens: Tensor, position: Tensor, padding: Tensor | None,
                shapes: list[tuple[int, int]]) -> Tensor:
        """Tokens and positions ``(B, S, C)``, padding ``(B, S)`` or None, to tokens ``(B, S, C)``."""
        inputs = tokens + position
        if padding is not None:
            inputs = inputs.masked_fill(padding[..., None], 0)
        mixed = []
        for level, (one, shape) in enumerate(zip(inputs.split([h * w for h, w in shapes], 1), shapes)):
            index = level % len(self.depthwise)
            grid = one.transpose(1, 2).unflatten(-1, shape)
            local = self.depthwise[index](grid).flatten(2).transpose(1, 2)
            mixed.append(self.pointwise[index](self.inner_norm(local).relu()))
        tokens = self.norms[0](tokens + torch.cat(mixed, 1))
        return self.norms[1](self.ffn(tokens))


class DSConvEncoder(nn.Module):
    """O2DETR's encoder.

    Args:
        num_layers: M.
        embed_dims: C.
        num_levels: L.
        ffn_cfg: ``feedforward_channels`` and ``ffn_drop``.
        share_levels: One set of convolutions per layer for all levels.
    """

    def __init__(self, num_layers: int = 6, embed_dims: int = 256, num_levels: int = 4,
                 ffn_cfg: dict[str, Any] = _FFN,
                 share_levels: bool = True) -> None:
        super().__init__()
        self.embed_dims = embed_dims
        self.num_layers = num_layers
        self.layers = nn.ModuleList(
            DSConvLayer(embed_dims, ffn_cfg, num_levels, share_levels) for _ in range(num_layers))

    def init_layers(self) -> None:
        """See :meth:`DSConvLayer.init_weights`."""
        for layer in self.layers.children():
            if isinstance(layer, DSConvLayer):
                layer.init_weights()

    def forward(self, query: Tensor, query_pos: Tensor, key_padding_mask: Tensor | None,
                spatial_shapes: Tensor, **_: Any) -> Tensor:
        """Memory ``(B, S, C)``.

        Args:
            query: Tokens ``(B, S, C)``; query_pos: their positions.
            key_padding_mask: ``(B, S)``, true at padding, or None.
            spatial_shapes: ``(L, 2)``.
        """
        shapes = [(height, width) for height, width in spatial_shapes.tolist()]
        for layer in self.layers:
            query = layer(query, query_pos, key_padding_mask, shapes)
        return query

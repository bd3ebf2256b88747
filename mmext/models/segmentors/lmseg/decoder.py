"""The category-guided decoder: queries look at the picture and at the names of its classes.

Shapes: B images, Q queries, C channels, M places of the map, K classes with the background.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn

_ORDERS = ('visual_text', 'text_visual')


def _heads(x: Tensor, heads: int) -> Tensor:
    """``(B, N, C) -> (B, heads, N, C / heads)``."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


class _SelfAttention(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=2))
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _CrossAttention(nn.Module):
    """Attention whose keys are its values: only the queries are projected."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(channels, channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """``(B, Q, C)`` from ``(B, Q, C)`` and ``(B, N, C)``, or ``(1, N, C)`` for all images."""
        shape = x.shape
        if len(memory) == 1:  # one memory: the queries of all images are one long list
            x = x.reshape(1, -1, shape[2])
        keys = _heads(memory, self.heads)
        y = F.scaled_dot_product_attention(_heads(self.q(x), self.heads), keys, keys)
        return self.proj(y.transpose(1, 2).flatten(2)).reshape(shape)


class _Feedforward(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class CategoryGuidedBlock(nn.Module):
    """Self-attention, attention to two memories one after the other, and an MLP.

    Args:
        channels: C.
        heads: Of every attention.
        mlp_ratio: Hidden channels of the MLP, in C.
        drop_path: Chance of leaving a branch out while training.
    """

    def __init__(self, channels: int, heads: int, mlp_ratio: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = _SelfAttention(channels, heads)
        self.cnorm1_1 = nn.LayerNorm(channels)
        self.cnorm1_2 = nn.LayerNorm(channels)
        self.cattn1 = _CrossAttention(channels, heads)
        self.cnorm2_1 = nn.LayerNorm(channels)
        self.cnorm2_2 = nn.LayerNorm(channels)
        self.cattn2 = _CrossAttention(channels, heads)
        self.norm3 = nn.LayerNorm(channels)
        self.mlp = _Feedforward(channels, mlp_ratio * channels)
        self.drop_path = DropPath(drop_path)

    def forward(self, query: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Queries ``(B, Q, C)``; ``first`` and ``second`` have mean 0 and variance 1, see the decoder."""
        query = query + self.drop_path(self.attn1(self.norm1(query)))
        memory = torch.addcmul(self.cnorm1_2.bias, first, self.cnorm1_2.weight)
        query = query + self.drop_path(self.cattn1(self.cnorm1_1(query), memory))
        memory = torch.addcmul(self.cnorm2_2.bias, second, self.cnorm2_2.weight)
        query = query + self.drop_path(self.cattn2(self.cnorm2_1(query), memory))
        return query + self.drop_path(self.mlp(self.norm3(query)))


class CategoryGuidedDecoder(BaseModule):
    """Blocks of :class:`CategoryGuidedBlock` (LMSeg, section 3.3).

    Every block has its own LayerNorm of the memories. What they have in common, the normalisation
    itself, is computed once.

    Args:
        channels: C.
        layers: Number of blocks.
        heads: Of every attention.
        mlp_ratio: Hidden channels of the MLPs, in C.
        drop_path_rate: Of the last block; it grows linearly from 0.
        order: 'visual_text' looks at the picture first, 'text_visual' at the names.

    Raises:
        ValueError: If ``order`` is neither, or the heads do not divide the channels.
    """

    def __init__(self,
                 channels: int = 256,
                 layers: int = 6,
                 heads: int = 8,
                 mlp_ratio: int = 4,
                 drop_path_rate: float = 0.1,
                 order: str = 'visual_text') -> None:
        super().__init__()
        if order not in _ORDERS:
            raise ValueError(f"order='{order}': expected {' or '.join(_ORDERS)}")
        if channels % heads:
            raise ValueError(f'heads={heads} does not divide channels={channels}')
        self.order, self.channels = order, channels
        rates = torch.linspace(0, drop_path_rate, layers).tolist()
        self.blocks = nn.ModuleList(CategoryGuidedBlock(channels, heads, mlp_ratio, rate) for rate in rates)

    def forward(self, query: Tensor, visual: Tensor, position: Tensor, text: Tensor) -> Tensor:
        """The queries after every block.

        Args:
            query: ``(B, Q, C)``.
            visual: ``(B, M, C)``.
            position: ``(1, M, C)``, added to the keys, which are the values too.
            text: ``(1, K, C)``, the same for all images.

        Returns:
            ``(layers, B, Q, C)``.
        """
        visual = visual + position
        memories = (visual, text) if self.order == 'visual_text' else (text, visual)
        first, second = (F.layer_norm(memory, (self.channels, )) for memory in memories)
        states = []
        for block in self.blocks:
            query = block(query, first, second)
            states.append(query)
        return torch.stack(states)

"""The small decoder with which CGG generates captions from its queries (arXiv 2301.00805, section 3.3).

Shapes: B captions, T tokens, Q queries of the image, D channels, V words.
"""
from __future__ import annotations

import math

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from ...registry import MODELS


class _SelfAttention(nn.Module):
    """Causal self-attention; ``qkv`` holds q, k and v of a head side by side, head after head."""

    def __init__(self, dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dims, 3 * dims)
        self.proj = nn.Linear(dims, dims)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """``(B, T, D)`` from ``(B, T, D)``; ``mask`` (B, 1, T, T) is true where to look."""
        query, key, value = self.qkv(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2).chunk(3, dim=-1)
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.proj(out.transpose(1, 2).flatten(2))


class _CrossAttention(nn.Module):
    """From words to queries."""

    def __init__(self, dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value, self.proj = (nn.Linear(dims, dims) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """``(B, T, D)`` from ``(B, T, D)`` and the image's ``(B, Q, D)``."""
        query, key, value = (
            linear(source).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for linear, source in ((self.query, x), (self.key, memory), (self.value, memory)))
        return self.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class CaptionLayer(nn.Module):
    """Self-attention, cross-attention and a feed-forward network, each normalised after its sum.

    With ``pre_norm`` as the authors have it: the normalised input is what a part is added to, and what
    the attentions read; the network reads the input as it is.
    """

    def __init__(self, dims: int, ffn_dims: int, num_heads: int, dropout: float,
                 pre_norm: bool = False) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.self_attn = _SelfAttention(dims, num_heads)
        self.cross_attn = _CrossAttention(dims, num_heads)
        self.ffn = nn.Sequential(nn.Linear(dims, ffn_dims), nn.Dropout(dropout), nn.ReLU(inplace=True),
                                 nn.Linear(ffn_dims, dims))
        self.norms = nn.ModuleList([nn.LayerNorm(dims) for _ in range(3)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """``(B, T, D)``."""
        if self.pre_norm:
            x = self.norms[0](x)
            x = self.norms[1](x + self.dropout(self.self_attn(x, mask)))
            x = x + self.dropout(self.cross_attn(x, memory))
            return self.norms[2](x) + self.dropout(self.ffn(x))
        x = self.norms[0](x + self.dropout(self.self_attn(x, mask)))
        x = self.norms[1](x + self.dropout(self.cross_attn(x, memory)))
        return self.norms[2](x + self.dropout(self.ffn(x)))


@MODELS.register_module()
class CaptionTransformer(BaseModule):
    """Words that follow the words so far, given the queries of an image.

    Args:
        num_tokens: V, the size of the vocabulary.
        embed_dims: D of words and queries.
        feedforward_channels: Of the feed-forward networks.
        num_layers: Number of layers.
        num_heads: Heads of the attentions; must divide ``embed_dims``.
        max_length: The longest caption, in tokens.
        dropout: After every part of a layer and on the words.
        pre_norm: See :class:`CaptionLayer`; the released models have False.

    Raises:
        ValueError: If ``embed_dims`` is odd or ``num_heads`` does not divide it.
    """

    def __init__(self,
                 num_tokens: int = 30522,
                 embed_dims: int = 768,
                 feedforward_channels: int = 512,
                 num_layers: int = 4,
                 num_heads: int = 8,
                 max_length: int = 35,
                 dropout: float = 0.1,
                 pre_norm: bool = False,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if embed_dims % num_heads or embed_dims % 2:
            raise ValueError(f'embed_dims={embed_dims}: expected an even multiple of num_heads={num_heads}')
        self.max_length = max_length
        self.layers = nn.ModuleList([
            CaptionLayer(embed_dims, feedforward_channels, num_heads, dropout, pre_norm)
            for _ in range(num_layers)])
        self.generator = nn.Linear(embed_dims, num_tokens)
        self.dropout = nn.Dropout(dropout)
        exponent = torch.arange(0, embed_dims, 2) / embed_dims
        angle = torch.arange(max_length)[:, None] / torch.pow(10000., exponent)
        self.register_buffer('positions', torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1),
                             persistent=False)

    def forward(self, words: Tensor, mask: Tensor, memory: Tensor) -> Tensor:
        """What the words are decoded to, before :attr:`generator`.

        Args:
            words: ``(B, T, D)``.
            mask: ``(B, T)``, true for words, false for padding after them.
            memory: ``(B, Q, D)``.

        Returns:
            ``(B, T, D)``.
        """
        length = words.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=words.device).tril()
        visible = (causal & mask.bool()[:, None])[:, None]
        x = self.dropout(words + self.positions[:length])
        for layer in self.layers:
            x = layer(x, memory, visible)
        return x

    def loss(self, words: Tensor, ids: Tensor, mask: Tensor, memory: Tensor) -> Tensor:
        """Cross-entropy of the next word, averaged over all ``T - 1`` positions, padding included.

        Only what comes before the longest caption's end is computed, which the causal attention allows,
        and only real positions are decoded to logits: padding adds nothing to the sum.

        Args:
            words: ``(B, T, D)``.
            ids: ``(B, T)`` of the words; 0 is padding.
            mask: ``(B, T)``, true for words.
            memory: ``(L, B, Q, D)``, of L decoder layers.

        Returns:
            ``(L, )``.
        """
        layers, count = memory.shape[0], ids.shape[0] * (ids.shape[1] - 1)
        longest = int((ids[:, 1:] != 0).sum(dim=1).max())
        states = self(words[:, :longest].repeat(layers, 1, 1), mask[:, :longest].repeat(layers, 1),
                      memory.flatten(0, 1)).unflatten(0, (layers, -1))
        target = ids[:, 1:longest + 1]
        real = target != 0
        logits = self.generator(states[:, real]).float()
        losses = F.cross_entropy(logits.flatten(0, 1), target[real].repeat(layers), reduction='none')
        return losses.unflatten(0, (layers, -1)).sum(dim=1) / count

    @torch.no_grad()
    def generate(self, memory: Tensor, table: Tensor, start: int, end: int, beam_width: int = 7,
                 alpha: float = 0.7) -> list[int]:
        """The best caption by beam search.

        Args:
            memory: ``(Q, D)`` of one image.
            table: ``(V, D)``, the embeddings of all words.
            start: Id of the word before the first.
            end: Id of the word after the last.
            beam_width: Captions followed at a time.
            alpha: A caption's log probability is divided by its length to this power.

        Returns:
            Ids without ``start`` and ``end``.
        """
        beams = torch.tensor([[start]], device=memory.device)
        scores = memory.new_zeros(1)
        best: tuple[float, list[int]] = (-math.inf, [])
        for length in range(1, self.max_length):
            states = self(table[beams], torch.ones_like(beams, dtype=torch.bool),
                          memory.expand(len(beams), -1, -1))
            logits = self.generator(states[:, -1]).float()
            logits[:, [0, start]] = -math.inf
            total = (scores[:, None] + logits.log_softmax(dim=-1)).flatten()
            scores, index = total.topk(min(beam_width, len(total)))
            word = index % len(table)
            beams = torch.cat([beams[index // len(table)], word[:, None]], dim=1)
            done = word == end
            for beam, score in zip(beams[done].tolist(), scores[done].tolist()):
                best = max(best, (score / length**alpha, beam[1:-1]))
            beams, scores = beams[~done], scores[~done]
            if not len(beams):
                break
        else:
            for beam, score in zip(beams.tolist(), scores.tolist()):
                best = max(best, (score / (self.max_length - 1)**alpha, beam[1:]))
        return best[1]

"""CLIP's text encoder with learned context, which gradients pass through.

The encoders of :mod:`mmext.models.language` are frozen and take text; here the words of a prompt
are preceded by vectors that are learned, so the encoder is part of the network. Parameters have
CLIP's names.

Shapes: K prompts, L tokens, N context vectors, W width, E size of an embedding.
"""
from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ....errors import UserError
from ....registry import MODELS


class _Attention(nn.Module):
    """Causal self-attention with the parameters of ``nn.MultiheadAttention``.

    The tokens that all prompts begin with, ``(1, P, W)``, are there once: what comes later does not
    change them. The others, ``(K, L, W)``, look at them and at those before in their own prompt.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.randn(3 * width, width) * width**-0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, shared: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """``(1, P, W)`` and ``(K, L, W)`` to the same."""
        q0, k0, v0 = self._heads(shared)
        q, k, v = self._heads(own)
        before, length = shared.shape[1], own.shape[1]
        visible = torch.ones(length, before + length, dtype=torch.bool, device=own.device).tril(before)
        k = torch.cat((k0.expand(len(k), -1, -1, -1), k), dim=2)
        v = torch.cat((v0.expand(len(v), -1, -1, -1), v), dim=2)
        y0 = F.scaled_dot_product_attention(q0, k0, v0, is_causal=True)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        return tuple(self.out_proj(one.transpose(1, 2).flatten(2)) for one in (y0, y))

    def _heads(self, x: Tensor) -> Tensor:
        """Queries, keys and values ``(3, K, heads, L, W / heads)``."""
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        return qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)


class _Feedforward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.c_fc(x)
        return self.c_proj(x * torch.sigmoid(1.702 * x))  # CLIP's approximation of GELU


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = _Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = _Feedforward(width)

    def forward(self, shared: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        both = (shared, own)
        both = tuple(x + y for x, y in zip(both, self.attn(*map(self.ln_1, both))))
        return tuple(x + self.mlp(self.ln_2(x)) for x in both)


class _Transformer(nn.Module):
    """Only there because CLIP's parameters are called ``transformer.resblocks``."""

    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(*(_Block(width, heads) for _ in range(layers)))

    def forward(self, shared: Tensor, own: Tensor) -> Tensor:
        """What the prompts' own tokens ``(K, L, W)`` become."""
        for block in self.resblocks:
            shared, own = block(shared, own)
        return own


@MODELS.register_module()
class CLIPTextContextEncoder(BaseModule):
    """CLIP's text transformer, prompts preceded by ``num_context`` learned vectors.

    Source: LMSeg (arXiv 2302.13495), section 3.2. The context is one for all classes and data sets.

    Args:
        embed_dim: E; 1024 for CLIP's ResNet-50, 512 for its ResNet-101.
        prompt_length: Most tokens of a prompt with its start and end.
        num_context: N; 0 leaves them out.
        width: W.
        heads: Of the attention.
        layers: Number of blocks.
        vocab_size: Number of tokens; CLIP's tokenizer has 49408.
        frozen: Train the context alone. The authors leave the encoder trainable with learning rate 0,
            so that its gradients count when the whole gradient is clipped.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` takes the state dict of CLIP.

    Raises:
        UserError: If a prompt has more than ``prompt_length`` tokens.
    """

    def __init__(self,
                 embed_dim: int = 1024,
                 prompt_length: int = 10,
                 num_context: int = 8,
                 width: int = 512,
                 heads: int = 8,
                 layers: int = 12,
                 vocab_size: int = 49408,
                 frozen: bool = True,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.dim, self.prompt_length, self.num_context = embed_dim, prompt_length, num_context
        self.vocab_size = vocab_size
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.positional_embedding = nn.Parameter(torch.randn(prompt_length + num_context, width) * 0.01)
        self.transformer = _Transformer(width, heads, layers)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.randn(width, embed_dim) * width**-0.5)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        if frozen:
            self.requires_grad_(False)
        self.learnable_contexts = None
        if num_context:
            self.learnable_contexts = nn.Parameter(torch.empty(1, num_context, width))
            nn.init.trunc_normal_(self.learnable_contexts)

    @property
    def trained(self) -> bool:
        """Whether embeddings change while training."""
        return any(parameter.requires_grad for parameter in self.parameters())

    @cached_property
    def _tokenizer(self) -> Any:
        from mmseg.utils.tokenizer import SimpleTokenizer
        return SimpleTokenizer()

    def tokenize(self, prompts: Sequence[str]) -> Tensor:
        """Token ids ``(K, prompt_length)``, padded with 0, on the CPU."""
        ids = torch.zeros(len(prompts), self.prompt_length, dtype=torch.long)
        start, end = self._tokenizer.all_special_ids
        for row, prompt in zip(ids, prompts):
            tokens = [start, *self._tokenizer.encode(prompt), end]
            if len(tokens) > self.prompt_length:
                raise UserError(f"LMSeg: the prompt '{prompt}' has {len(tokens)} tokens, prompt_length is "
                                f'{self.prompt_length}: shorten the name or set prompt_length')
            if max(tokens) >= self.vocab_size:
                raise UserError(f'LMSeg: vocab_size={self.vocab_size} is less than that of the tokenizer, '
                                f'{end + 1}')
            row[:len(tokens)] = torch.tensor(tokens)
        return ids

    def embed(self, prompts: Sequence[str]) -> Tensor:
        """Embeddings ``(K, E)`` of prompts, not normalised."""
        return self(self.tokenize(prompts))

    def forward(self, ids: Tensor) -> Tensor:
        """Embeddings ``(K, E)`` of token ids ``(K, L)`` (best on the CPU, where trimming costs nothing).

        Attention is causal, so what follows the longest prompt's end changes nothing and is left out, and
        the words that all prompts begin with ("a photo of"), and the context, are encoded once.
        """
        ends = ids.argmax(dim=1)  # the end token has the largest id
        ids = ids[:, :int(ends.max()) + 1]
        common = int((ids == ids[0]).all(dim=0).cumprod(dim=0).sum().clamp(max=int(ends.min())))
        common += self.num_context if common else 0
        ids = ids.to(self.positional_embedding.device)
        ends = ends.to(ids.device) + self.num_context - common
        x = self.token_embedding(ids)
        if self.learnable_contexts is not None:
            x = torch.cat((x[:, :1], self.learnable_contexts.expand(len(x), -1, -1), x[:, 1:]), dim=1)
        x = x + self.positional_embedding[:x.shape[1]]
        x = self.transformer(x[:1, :common], x[:, common:])
        x = x[torch.arange(len(x), device=x.device), ends]
        return self.ln_final(x) @ self.text_projection

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Take CLIP's 77 positions: the first are kept."""
        key = f'{prefix}positional_embedding'
        if key in state_dict:
            state_dict[key] = state_dict[key][:len(self.positional_embedding)]
        super()._load_from_state_dict(state_dict, prefix, *args)

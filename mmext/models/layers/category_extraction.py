"""METR's category extraction: which of K categories an image has, asked with their text embeddings.

Shapes: B images, S tokens of the feature maps, K categories, k kept ones, C channels, T text channels.
"""
from __future__ import annotations

import math
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ...registry import MODELS

_LOSS = dict(gamma_pos=0., gamma_neg=2., clip=0., eps=1e-5, loss_weight=1.)


class SimilarityClassifier(nn.Module):
    """Logit of a feature for a category: the scalar product with the category's vector, scaled.

    Args:
        embed_dims: C.
        num_layers: Linear layers that the feature goes through, with ReLU between.
        skip: Add the feature to what they give.
        prior: Initial probability.
    """

    def __init__(self, embed_dims: int, num_layers: int = 2, skip: bool = False, prior: float = 0.1) -> None:
        super().__init__()
        self.feature_linear = nn.ModuleList(nn.Linear(embed_dims, embed_dims) for _ in range(num_layers))
        self.skip = skip and num_layers > 0
        self.b = nn.Parameter(torch.full((1, ), -math.log((1 - prior) / prior)))

    def forward(self, features: Tensor, vectors: Tensor) -> Tensor:
        """Features and vectors ``(..., C)``, broadcast against each other, to logits ``(...)``."""
        x = features
        for index, layer in enumerate(self.feature_linear):
            x = layer(x.relu() if index else x)
        if self.skip:
            x = x + features
        return (x * vectors).sum(dim=-1) * features.shape[-1]**-0.5 + self.b


class _FeedForward(nn.Module):

    def __init__(self, embed_dims: int, channels: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(embed_dims, channels)
        self.linear2 = nn.Linear(channels, embed_dims)
        self.norm2 = nn.LayerNorm(embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm2(x + self.linear2(self.linear1(x).relu()))


class CategoryBlock(nn.Module):
    """Categories look at the image: cross-attention without positions, then a feed-forward part.

    Args:
        embed_dims: C.
        num_heads: Of the attentions.
        feedforward_channels: Hidden width.
        self_attn: Let the categories look at each other first; half of that is dropped in training.
    """

    def __init__(self, embed_dims: int, num_heads: int, feedforward_channels: int, self_attn: bool) -> None:
        super().__init__()
        if self_attn:
            self.self_attn = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
            self.norm2 = nn.LayerNorm(embed_dims)
            self.dropout = nn.Dropout(0.5)
        self.with_self_attn = self_attn
        self.cross_attn = nn.MultiheadAttention(embed_dims, num_heads, batch_first=True)
        self.norm1 = nn.LayerNorm(embed_dims)
        self.ffn = _FeedForward(embed_dims, feedforward_channels)

    def forward(self, query: Tensor, memory: Tensor, mask: Tensor | None, others: Tensor | None) -> Tensor:
        """``(B, K, C)`` to the same.

        Args:
            query: ``(B, K, C)``.
            memory: ``(B, S, C)``.
            mask: ``(B, S)``, true at padding.
            others: ``(B, K)``, true at categories of another taxonomy, which nobody looks at.
        """
        if self.with_self_attn:
            seen = self.self_attn(query, query, query, key_padding_mask=others, need_weights=False)[0]
            query = self.norm2(query + self.dropout(seen))
        seen = self.cross_attn(query, memory, memory, key_padding_mask=mask, need_weights=False)[0]
        return self.ffn(self.norm1(query + seen))


@MODELS.register_module()
class CategoryExtraction(BaseModule):
    """Finds the categories of an image and gives each a vector.

    Args:
        num_classes: K.
        text_dims: T. Unless it is C, embeddings are projected.
        embed_dims: C.
        num_heads: Of the attentions.
        feedforward_channels: Hidden width of the blocks.
        num_blocks: Blocks, each with a loss of its own.
        topk_train: Categories kept in training; all that the image has are among them.
        topk_test: Categories kept in inference.
        self_attn: Attention among the categories; the authors' models are without.
        freeze_prompts: Keep the text embeddings as they are.
        classifier_layers: Of :class:`SimilarityClassifier`.
        classifier_skip: Of :class:`SimilarityClassifier`.
        loss: ``gamma_pos``, ``gamma_neg``, ``clip``, ``eps`` and ``loss_weight`` of the asymmetric loss.

    Raises:
        ValueError: If an argument is out of its range or ``loss`` has an unknown key.

    Example:
        >>> module = CategoryExtraction(80, text_dims=512)
        >>> logits, vectors = module(memory, None)
    """

    def __init__(self,
                 num_classes: int,
                 text_dims: int,
                 embed_dims: int = 256,
                 num_heads: int = 8,
                 feedforward_channels: int = 2048,
                 num_blocks: int = 2,
                 topk_train: int = 20,
                 topk_test: int = 20,
                 self_attn: bool = False,
                 freeze_prompts: bool = False,
                 classifier_layers: int = 2,
                 classifier_skip: bool = False,
                 loss: dict[str, float] = _LOSS,
                 init_cfg: dict[str, Any] | None = None) -> None:
        super().__init__(init_cfg)
        for name, value in dict(num_classes=num_classes, text_dims=text_dims, num_blocks=num_blocks,
                                topk_train=topk_train, topk_test=topk_test).items():
            if value < 1:
                raise ValueError(f'{name}={value}: expected 1 or more')
        if set(loss) - set(_LOSS):
            raise ValueError(f'loss has no {", ".join(sorted(set(loss) - set(_LOSS)))}: expected '
                             f'{", ".join(_LOSS)}')
        self.num_classes, self.topk_train, self.topk_test = num_classes, topk_train, topk_test
        self.loss_cfg = {**_LOSS, **loss}
        self.class_prompts = nn.Parameter(torch.randn(num_classes, text_dims),
                                          requires_grad=not freeze_prompts)
        self.convert_vector: nn.Module = nn.Identity()
        self.vector_ln: nn.Module = nn.Identity()
        if text_dims != embed_dims:
            self.convert_vector = nn.Linear(text_dims, embed_dims)
            self.vector_ln = nn.LayerNorm(embed_dims)
        self.prompt_blocks = nn.ModuleList(
            CategoryBlock(embed_dims, num_heads, feedforward_channels, self_attn) for _ in range(num_blocks))
        self.classifier = SimilarityClassifier(embed_dims, classifier_layers, classifier_skip)

    def init_weights(self) -> None:
        """The authors' initialisation: Xavier, but for the projection of the text."""
        for part in (self.prompt_blocks, self.classifier):
            for parameter in part.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
        super().init_weights()

    def forward(self, memory: Tensor, mask: Tensor | None,
                allowed: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """Look for all categories.

        Args:
            memory: ``(B, S, C)``.
            mask: ``(B, S)``, true at padding, or None.
            allowed: ``(B, K)``, the categories of the image's taxonomy; None: all.

        Returns:
            Logits ``(B, K)`` after each block, and the categories' vectors ``(B, K, C)``.
        """
        prompts = self.vector_ln(self.convert_vector(self.class_prompts))
        query = prompts.expand(len(memory), -1, -1)
        others = None if allowed is None else ~allowed
        logits = []
        for block in self.prompt_blocks:
            query = block(query, memory, mask, others)
            logits.append(self.classifier(query, prompts))
        return logits, query

    @torch.no_grad()
    def select(self, logits: Tensor, present: Tensor | None = None, allowed: Tensor | None = None,
               most: int | None = None) -> Tensor:
        """The categories to look for boxes of.

        Args:
            logits: ``(B, K)`` of the last block.
            present: ``(B, K)``, those that an image is known to have: they come first.
            allowed: ``(B, K)``: the others come last.
            most: Not more than so many.

        Returns:
            ``(B, k)`` indices, ascending.
        """
        score = logits.float().sigmoid()
        if present is not None:
            score = score.masked_fill(present, 2)
        if allowed is not None:
            score = score.masked_fill(~allowed, -1)
        keep = min(self.topk_train if self.training else self.topk_test, most or self.num_classes)
        # Stable: of more present categories than are kept, the first ones.
        return score.sort(dim=1, descending=True, stable=True).indices[:, :keep].sort(dim=1).values

    def loss(self, logits: list[Tensor], present: Tensor, allowed: Tensor | None = None) -> dict[str, Tensor]:
        """Asymmetric loss of every block: ``loss_cem`` of the last, ``b0.loss_cem`` of the first.

        Args:
            logits: ``(B, K)`` for each block.
            present: ``(B, K)``, true for the categories of the image.
            allowed: ``(B, K)``: the others do not count.
        """
        weight = self.loss_cfg['loss_weight'] / len(present)
        losses = {}
        for index, one in enumerate(logits):
            value = _asymmetric(one.float(), present, self.loss_cfg)
            if allowed is not None:
                value = value * allowed
            prefix = '' if index + 1 == len(logits) else f'b{index}.'
            losses[f'{prefix}loss_cem'] = value.sum() * weight
        return losses


def _asymmetric(logits: Tensor, present: Tensor, cfg: dict[str, float]) -> Tensor:
    """Of each logit; the focusing factor is a constant to the gradient."""
    floor = math.log(cfg['eps'])
    absent = 1 - logits.sigmoid()
    if cfg['clip'] > 0:
        absent = (absent + cfg['clip']).clamp(max=1)
        log_absent = absent.clamp(min=cfg['eps']).log()
    else:
        log_absent = logsigmoid(-logits).clamp(min=floor)
    log_likelihood = torch.where(present, logsigmoid(logits).clamp(min=floor), log_absent)
    with torch.no_grad():
        likely = torch.where(present, logits.sigmoid(), absent)
        focus = (1 - likely)**torch.where(present, cfg['gamma_pos'], cfg['gamma_neg'])
    return -log_likelihood * focus

"""Guidance: a network learns to represent its samples as an (even untrained) guide does.

Training the Untrainable: Introducing Inductive Bias via Representational Alignment (Subramaniam et al.,
NeurIPS 2025, arXiv 2410.20035), section 3.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmext.errors import UserError, did_you_mean
from mmext.registry import MODELS

_METRICS = ('cka', 'rsa')


def even_mapping(guides: int, targets: int) -> dict[int, int]:
    """Target layer to guide layer, evenly along the depth; the last guide layer of several wins.

    Args:
        guides: Layers of the guide.
        targets: Layers of the network that is guided.
    """
    step = (targets - 1) / (guides - 1) if guides > 1 else 1.
    return {min(round(index * step), targets - 1): index for index in range(guides)}


def centred_gram(features: Tensor) -> Tensor:
    """``H X X^T H`` of features ``(n, ...)``."""
    flat = features.flatten(1)
    flat = flat - flat.mean(0)
    return flat @ flat.t()


def hsic(features: Tensor, others: Tensor) -> Tensor:
    """Biased HSIC with linear kernels, without a factor: the sum of the product of centred Grams."""
    return (centred_gram(features) * centred_gram(others)).sum()


def cka(features: Tensor, others: Tensor) -> Tensor:
    """Linear centred kernel alignment of features ``(n, ...)`` of the same samples, in [0, 1]."""
    return _alignment(centred_gram(features), centred_gram(others))


def rsa(features: Tensor, others: Tensor) -> Tensor:
    """Pearson correlation of the two matrices of the samples' cosine similarities, in [-1, 1]."""
    return _correlation(*(_cosines(one) for one in (features, others)))


def _alignment(gram: Tensor, other: Tensor) -> Tensor:
    return (gram * other).sum() / (gram.norm() * other.norm())


def _cosines(features: Tensor) -> Tensor:
    flat = features.flatten(1)
    flat = flat / flat.norm(dim=1, keepdim=True)
    return flat @ flat.t()


def _correlation(matrix: Tensor, other: Tensor) -> Tensor:
    one, two = matrix - matrix.mean(), other - other.mean()
    return (one * two).sum() / (one.norm() * two.norm())


@MODELS.register_module()
class GuidanceLoss(nn.Module):
    """Sum over mapped layers of ``1 - similarity``; shapes of the layers are free.

    Its two records are whole networks: ``records=dict(s=dict(net='student', types=[...]), ...)``. Each
    layer's n x n matrix is made once, whatever number of layers it is compared with.

    Args:
        metric: 'cka' (the paper's) or 'rsa'.
        mapping: 'even', or target layer to guide layer by position.
        drop_last: Leave the last layer of each network (its logits) out.

    Raises:
        UserError: On an unknown metric or mapping.
    """

    whole_records = True
    needs_context = True

    def __init__(self, metric: str = 'cka', mapping: str | Mapping[int, int] = 'even',
                 drop_last: bool = True) -> None:
        super().__init__()
        if metric not in _METRICS:
            raise UserError(f"GuidanceLoss: metric='{metric}'{did_you_mean(metric, _METRICS)} (choose from "
                            f'{", ".join(_METRICS)})')
        if isinstance(mapping, str) and mapping != 'even':
            raise UserError(f"GuidanceLoss: mapping='{mapping}': it is 'even' or dict(target=guide, ...)")
        self.metric, self.mapping, self.drop_last = metric, mapping, drop_last

    def forward(self, pred: list[Tensor], target: list[Tensor], context: dict[str, Any]) -> Tensor:
        """The sum.

        Args:
            pred: The network's layers, in the order of execution.
            target: The guide's.
            context: Its ``inputs`` tell the batch size.
        """
        similar = self.dissimilarities(pred, target, len(context['inputs']))
        return torch.stack(list(similar.values())).sum()

    def dissimilarities(self, pred: list[Tensor], target: list[Tensor], batch: int) -> dict[int, Tensor]:
        """``1 - similarity`` of each mapped layer of the network, by its position.

        Raises:
            UserError: If a network has no layer left, or the mapping names one that is not there.
        """
        ours, theirs = (self._layers(one, batch) for one in (pred, target))
        if not ours or not theirs:
            raise UserError(f'GuidanceLoss: {len(ours)} layers of the network and {len(theirs)} of the guide '
                            'have the batch as an axis; both need one (types= of the records)')
        mapping = even_mapping(len(theirs), len(ours)) if isinstance(self.mapping, str) else self.mapping
        result = {}
        for own, guide in sorted((int(own), int(guide)) for own, guide in mapping.items()):
            if own >= len(ours) or guide >= len(theirs):
                raise UserError(f'GuidanceLoss: mapping {own} -> {guide}: there are {len(ours)} layers of '
                                f'the network and {len(theirs)} of the guide')
            result[own] = 1 - self._similarity(ours[own], theirs[guide])
        return result

    def _layers(self, layers: list[Tensor], batch: int) -> list[Tensor]:
        kept = [one for one in (_batch_first(layer, batch) for layer in layers) if one is not None]
        return kept[:-1] if self.drop_last else kept

    def _similarity(self, one: Tensor, other: Tensor) -> Tensor:
        if self.metric == 'rsa':
            return rsa(one, other)
        with torch.no_grad():
            gram = centred_gram(other)
        return _alignment(centred_gram(one), gram)


def _batch_first(layer: Tensor, batch: int) -> Tensor | None:
    """The layer with its batch axis first, or None if no axis (or more than one) can be it."""
    if layer.shape[0] == batch:
        return layer
    axes = [axis for axis, size in enumerate(layer.shape) if size == batch]
    return layer.transpose(0, axes[0]) if len(axes) == 1 else None

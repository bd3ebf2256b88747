"""Guidance: a network learns to represent its samples as an (even untrained) guide does.

Training the Untrainable: Introducing Inductive Bias via Representational Alignment (Subramaniam et al.,
NeurIPS 2025, arXiv 2410.20035), section 3.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmext.errors import UserError, did_you_mean
from mmext.registry import MODELS


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
    return _centred(flat @ flat.t())  # n x n, instead of a centred copy of all features


def hsic(features: Tensor, others: Tensor) -> Tensor:
    """Biased HSIC with linear kernels, without a factor: the sum of the product of centred Grams."""
    return (centred_gram(features) * centred_gram(others)).sum()


def cka(features: Tensor, others: Tensor) -> Tensor:
    """Linear centred kernel alignment of features ``(n, ...)`` of the same samples, in [0, 1]."""
    return _alignment(centred_gram(features), centred_gram(others))


def rsa(features: Tensor, others: Tensor) -> Tensor:
    """Pearson correlation of the two matrices of the samples' cosine similarities, in [-1, 1]."""
    return _alignment(_centred_cosines(features), _centred_cosines(others))


def _alignment(matrix: Tensor, other: Tensor) -> Tensor:
    return (matrix * other).sum() / (matrix.norm() * other.norm())


def _centred(gram: Tensor) -> Tensor:
    count = len(gram)
    centring = torch.eye(count, dtype=gram.dtype, device=gram.device) - 1 / count  # as the authors round
    return centring @ gram @ centring


def _centred_cosines(features: Tensor) -> Tensor:
    flat = features.flatten(1)
    flat = flat / flat.norm(dim=1, keepdim=True)
    cosines = flat @ flat.t()
    return cosines - cosines.mean()


_MATRICES = {'cka': centred_gram, 'rsa': _centred_cosines}


@MODELS.register_module()
class GuidanceLoss(nn.Module):
    """Sum over mapped layers of ``1 - similarity``; shapes of the layers are free.

    Its two records are whole networks: ``records=dict(s=dict(net='student', types=[...]), ...)``. Of the
    guide's layers only n x n matrices are kept, made while it runs, and after the first step only of the
    layers that the mapping needs.

    Args:
        metric: 'cka' (the paper's) or 'rsa'.
        mapping: 'even', or target layer to guide layer by position.
        drop_last: Leave the last record of each network (its logits) out.

    Raises:
        UserError: On an unknown metric or mapping.
    """

    whole_records = True
    needs_context = True

    def __init__(self, metric: str = 'cka', mapping: str | Mapping[int, int] = 'even',
                 drop_last: bool = True) -> None:
        super().__init__()
        if metric not in _MATRICES:
            raise UserError(f"GuidanceLoss: metric='{metric}'{did_you_mean(metric, _MATRICES)} (choose from "
                            f'{", ".join(_MATRICES)})')
        if isinstance(mapping, str) and mapping != 'even':
            raise UserError(f"GuidanceLoss: mapping='{mapping}': it is 'even' or dict(target=guide, ...)")
        self.metric, self.mapping, self.drop_last = metric, mapping, drop_last
        self._needed: set[int] | None = None

    def reducer(self, batch: int) -> Callable[[Tensor], Tensor]:
        """For one pass of the guide: what to keep of each layer, in their order.

        Args:
            batch: Images of the pass.

        Returns:
            A function that makes an n x n matrix of a layer; of layers without the batch as an axis or
            that the mapping does not need an empty tensor, with two axes or one.
        """
        count = 0

        def reduced(layer: Tensor) -> Tensor:
            nonlocal count
            first = _batch_first(layer, batch)
            if first is None:
                return layer.new_empty(0, 0)
            count += 1
            if self._needed is not None and count - 1 not in self._needed:
                return layer.new_empty(0)
            with torch.autocast(layer.device.type, enabled=False):
                return _MATRICES[self.metric](first.float())

        return reduced

    def forward(self, pred: list[Tensor], target: list[Tensor], context: dict[str, Any]) -> Tensor:
        """The sum.

        Args:
            pred: The network's layers, in the order of execution.
            target: The guide's.
            context: Its ``inputs`` tell the batch size; with ``reduced`` the guide's layers are what
                :meth:`reducer` made of them.
        """
        reduced = bool(context.get('reduced'))
        similar = self.dissimilarities(pred, target, len(context['inputs']), reduced)
        return torch.stack(list(similar.values())).sum()

    def dissimilarities(self, pred: list[Tensor], target: list[Tensor], batch: int, reduced: bool = False
                        ) -> dict[int, Tensor]:
        """``1 - similarity`` of each mapped layer of the network, by its position.

        Raises:
            UserError: If a network has no layer left, or the mapping names one that is not there.
        """
        matrix = _MATRICES[self.metric]
        if reduced:
            theirs = [one for one in self._counted(target) if one.ndim == 1 or one.numel()]
            batch = next((len(one) for one in theirs if one.numel()), batch)
        else:
            theirs = self._layers(target, batch)
        ours = self._layers(pred, batch)
        if not ours or not theirs:
            raise UserError(f'GuidanceLoss: {len(ours)} layers of the network and {len(theirs)} of the guide '
                            'have the batch as an axis; both need one (types= of the records)')
        mapping = even_mapping(len(theirs), len(ours)) if isinstance(self.mapping, str) else self.mapping
        pairs = sorted((int(own), int(guide)) for own, guide in mapping.items())
        self._needed = {guide for _, guide in pairs}
        made: dict[int, Tensor] = {}
        result = {}
        for own, guide in pairs:
            if own >= len(ours) or guide >= len(theirs):
                raise UserError(f'GuidanceLoss: mapping {own} -> {guide}: there are {len(ours)} layers of '
                                f'the network and {len(theirs)} of the guide')
            if guide not in made:
                made[guide] = theirs[guide] if reduced else matrix(theirs[guide].detach())
            if not made[guide].numel():
                raise UserError('GuidanceLoss: the number of recorded layers changes from step to step, so '
                                'that no mapping of them stays: record fewer types')
            result[own] = 1 - _alignment(matrix(ours[own]), made[guide])
        return result

    def _layers(self, layers: list[Tensor], batch: int) -> list[Tensor]:
        found = (_batch_first(layer, batch) for layer in self._counted(layers))
        return [one for one in found if one is not None]

    def _counted(self, layers: list[Tensor]) -> list[Tensor]:
        return layers[:-1] if self.drop_last else layers


def _batch_first(layer: Tensor, batch: int) -> Tensor | None:
    """The layer with its batch axis first, or None if no axis (or more than one) can be it."""
    if layer.shape[0] == batch:
        return layer
    axes = [axis for axis, size in enumerate(layer.shape) if size == batch]
    return layer.transpose(0, axes[0]) if len(axes) == 1 else None

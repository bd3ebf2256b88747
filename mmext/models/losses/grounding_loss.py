"""Contrastive loss between captions' nouns and images' queries (CGG, arXiv 2301.00805, equations 3 to 5).

Shapes: L decoder layers, B images with a caption each, G of all processes, Q queries, T nouns, D channels.
"""
from __future__ import annotations

import torch
from mmengine.dist import all_gather, get_rank, get_world_size
from torch import Tensor, nn
from torch.nn import functional as F

from ...registry import MODELS

# What the authors add to the largest cost for a caption without a noun.
_PENALTY = 100.


def _gathered(value: Tensor, dim: int) -> Tensor:
    """Of all processes; the own part keeps its gradient. All processes must have the same shape."""
    if get_world_size() == 1:
        return value
    parts = all_gather(value.detach().contiguous())
    parts[get_rank()] = value
    return torch.cat(parts, dim=dim)


@MODELS.register_module()
class GroundingLoss(nn.Module):
    """Every caption finds its image and every image its caption, by the nouns alone.

    Nouns look for queries and queries for nouns; the cost of an image and a caption is the mean
    similarity of what is found, negated. A caption whose nouns are unknown costs what the authors
    make it cost, the largest cost plus 100, unless ``skip_empty``.

    Args:
        temperature: Similarities are divided by it.
        loss_weight: Weight of the loss.
        skip_empty: Leave out captions without a noun. They teach nothing true: theirs is the image
            that the constant cost drives away from all other captions.
    """

    def __init__(self, temperature: float = 10., loss_weight: float = 2., skip_empty: bool = False) -> None:
        super().__init__()
        self.temperature = temperature
        self.loss_weight = loss_weight
        self.skip_empty = skip_empty

    def forward(self, queries: Tensor, nouns: Tensor, mask: Tensor) -> Tensor:
        """The loss of every layer.

        Args:
            queries: ``(L, B, Q, D)``, in the space of the words.
            nouns: ``(B, T, D)``; T is the same in all processes.
            mask: ``(B, T)``, true for nouns, false for padding.

        Returns:
            ``(L, )``.
        """
        with torch.autocast(queries.device.type, enabled=False):
            queries = _gathered(queries.float(), dim=1)
            nouns, mask = _gathered(nouns.float(), dim=0), _gathered(mask.bool(), dim=0)
            return torch.stack([self._layer(layer, nouns, mask) for layer in queries]) * self.loss_weight

    def _layer(self, queries: Tensor, nouns: Tensor, mask: Tensor) -> Tensor:
        # (caption, image, T, Q): one product of matrices, nothing of length D is repeated.
        similarity = torch.einsum('itd,jqd->ijtq', nouns, queries) / self.temperature
        of_noun = (similarity.softmax(dim=3) * -similarity).sum(dim=3)
        weight = mask.to(of_noun)
        of_noun = (of_noun * weight[:, None]).sum(dim=2) / weight.sum(dim=1).clamp(min=1)[:, None]
        # The authors do not mask padding here; its vector is the same in every caption.
        of_query = (similarity.softmax(dim=2) * -similarity).sum(dim=(2, 3)) / queries.shape[1]
        known = mask.any(dim=1)
        losses = [loss for cost in (of_noun, of_query) for loss in self._contrast(cost, known)]
        return sum(losses, similarity.new_zeros(())) / 4

    def _contrast(self, cost: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the diagonal of ``cost`` (caption, image) along both dimensions."""
        target = torch.arange(len(cost), device=cost.device)
        if not self.skip_empty:
            cost = torch.where(known[:, None], cost, cost.detach().max() + _PENALTY)
            return F.cross_entropy(-cost, target), F.cross_entropy(-cost.t(), target)
        count = known.sum().clamp(min=1)
        rows = F.cross_entropy(-cost, target, reduction='none')
        # An infinite cost: no image takes a caption without a noun for its own. Such an image's own
        # loss is replaced before the cross-entropy, or its gradient would not be a number.
        blocked = torch.where(known[:, None] | (target[:, None] == target), cost, torch.inf)
        columns = F.cross_entropy(-blocked.t(), target, reduction='none')
        return (rows * known).sum() / count, (columns * known).sum() / count

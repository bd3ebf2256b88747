"""How far two teachers agree about a pseudo box (CST, our reading of the paper's abstract)."""
from __future__ import annotations

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from ...errors import UserError, did_you_mean
from ...registry import TASK_UTILS

MODES = ('linear', 'exp')


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """Jensen-Shannon divergence to base 2.

    Args:
        p: Distributions, ``(..., C)``, each summing to 1.
        q: Distributions of the same shape.

    Returns:
        Divergences, ``(...)``, in [0, 1].
    """
    mean = (p + q) / 2
    terms = [torch.xlogy(one, one) - torch.xlogy(one, mean) for one in (p, q)]
    return ((terms[0] + terms[1]).sum(-1) / (2 * torch.log(p.new_tensor(2.)))).clamp(0, 1)


def binary_jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """The same of two probabilities of one event, elementwise, in [0, 1]."""
    return jensen_shannon(torch.stack([p, 1 - p], -1), torch.stack([q, 1 - q], -1))


@TASK_UTILS.register_module()
class DistributionConsistency:
    """Weight of a pseudo box from the divergence of the two teachers' class distributions.

    The abstract of CST names "distribution consistency across the teachers" and no formula: this
    one is ours.

    Args:
        divergence: 'js', the Jensen-Shannon divergence to base 2.
        mode: 'linear': ``1 - JSD``; 'exp': ``exp(-JSD)``.
        gamma: Exponent of the weight.
        w_min: Least weight, in [0, 1]; also of boxes that the other teacher does not have.
        match_iou: Heads without regions are compared box by box: same class, IoU of at least this.

    Raises:
        UserError: On an unknown divergence or mode, or a value out of range.
    """

    def __init__(self, divergence: str = 'js', mode: str = 'linear', gamma: float = 1.0, w_min: float = 0.0,
                 match_iou: float = 0.5) -> None:
        if divergence != 'js':
            raise UserError(f"DistributionConsistency: divergence cannot be '{divergence}' (choose from js)")
        if mode not in MODES:
            raise UserError(f"DistributionConsistency: mode cannot be '{mode}'{did_you_mean(mode, MODES)} "
                            f'(choose from {", ".join(MODES)})')
        if gamma < 0 or not 0 <= w_min <= 1:
            raise UserError(f'DistributionConsistency: expected gamma >= 0 and 0 <= w_min <= 1, '
                            f'got {gamma} and {w_min}')
        self.mode, self.gamma, self.w_min, self.match_iou = mode, gamma, w_min, match_iou

    def weight(self, divergence: Tensor) -> Tensor:
        """Weights in [w_min, 1] for divergences in [0, 1], elementwise."""
        weight = 1 - divergence if self.mode == 'linear' else torch.exp(-divergence)
        return (weight**self.gamma).clamp(min=self.w_min)

    @torch.no_grad()
    def __call__(self, generator: Tensor, peer: Tensor) -> Tensor:
        """Weights of boxes that both teachers scored.

        Args:
            generator: Class probabilities ``(N, C + 1)`` of the teacher that made the boxes.
            peer: Those of the other teacher for the same boxes.

        Returns:
            ``(N, )``, without gradient.
        """
        return self.weight(jensen_shannon(generator, peer))

    @torch.no_grad()
    def match(self, generator: InstanceData, peer: InstanceData) -> Tensor:
        """Weights of boxes from the other teacher's nearest box of the same class.

        Args:
            generator: ``bboxes (N, 4)``, ``scores (N, )`` in [0, 1] and ``labels (N, )``.
            peer: The other teacher's, before any threshold.

        Returns:
            ``(N, )``; ``w_min`` where the other teacher has no box of that class there.
        """
        from mmdet.structures.bbox import bbox_overlaps
        weights = generator.scores.new_full((len(generator), ), self.w_min)
        if not len(generator) or not len(peer):
            return weights
        overlaps = bbox_overlaps(generator.bboxes, peer.bboxes)
        overlaps = overlaps.masked_fill(generator.labels[:, None] != peer.labels, -1)
        best, index = overlaps.max(1)
        found = best >= self.match_iou
        divergence = binary_jensen_shannon(generator.scores, peer.scores[index])
        return torch.where(found, self.weight(divergence), weights)

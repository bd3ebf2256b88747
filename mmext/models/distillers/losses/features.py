"""Distillation of feature maps."""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmext.errors import UserError, did_you_mean
from mmext.registry import MODELS

_KINDS = {'l2': F.mse_loss, 'l1': F.l1_loss, 'smooth_l1': F.smooth_l1_loss}


@MODELS.register_module()
class FeatureDistillLoss(nn.Module):
    """Mean distance of all values.

    Args:
        kind: 'l2', 'l1' or 'smooth_l1'.
    """

    def __init__(self, kind: str = 'l2') -> None:
        super().__init__()
        if kind not in _KINDS:
            raise UserError(f"FeatureDistillLoss: kind='{kind}'{did_you_mean(kind, _KINDS)} (choose from "
                            f'{", ".join(_KINDS)})')
        self.kind = kind

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compare two tensors of one shape."""
        return _KINDS[self.kind](pred, target)


@MODELS.register_module()
class ChannelWiseDistillLoss(nn.Module):
    """KL divergence of each channel's distribution over the positions (Shu et al., ICCV 2021, eq. 4).

    ``tau^2 / (N C) * sum_nc KL(softmax_hw(t / tau) || softmax_hw(s / tau))``.

    Args:
        tau: Temperature.
    """

    def __init__(self, tau: float = 1.0) -> None:
        super().__init__()
        self.tau = tau

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compare two maps ``(N, C, H, W)``."""
        student, teacher = ((one.flatten(2) / self.tau).log_softmax(-1) for one in (pred, target))
        terms = F.kl_div(student, teacher, reduction='sum', log_target=True)
        return terms * self.tau**2 / (pred.shape[0] * pred.shape[1])


@MODELS.register_module()
class PKDLoss(nn.Module):
    """Half the squared distance of maps standardised per channel (PKD, Cao et al., NeurIPS 2022).

    Mean and standard deviation of a channel are over the batch and all positions, so this is
    one minus the Pearson correlation of the channels, averaged.

    Args:
        eps: Added to the standard deviation.
    """

    def __init__(self, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Compare two maps ``(N, C, H, W)``."""
        return F.mse_loss(self._standardised(pred), self._standardised(target)) / 2

    def _standardised(self, maps: Tensor) -> Tensor:
        flat = maps.transpose(0, 1).flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        return centred / (centred.square().mean(1, keepdim=True).sqrt() + self.eps)


@MODELS.register_module()
class MaskedGenerativeLoss(nn.Module):
    """The student's masked map must regenerate the teacher's (MGD, Yang et al., ECCV 2022, eq. 3).

    Args:
        channels: Of both maps; a connector before brings the student's to it.
        mask_ratio: Chance that a position is hidden, in [0, 1).
    """

    def __init__(self, channels: int, mask_ratio: float = 0.5) -> None:
        super().__init__()
        if not 0 <= mask_ratio < 1:
            raise UserError(f'MaskedGenerativeLoss: mask_ratio={mask_ratio} must be in [0, 1)')
        self.mask_ratio = mask_ratio
        self.generation = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Squared distance, summed over a map and averaged over the batch.

        Args:
            pred: ``(N, C, H, W)``.
            target: As ``pred``.
        """
        shape = (pred.shape[0], 1, *pred.shape[2:])
        kept = torch.rand(shape, device=pred.device) >= self.mask_ratio
        return F.mse_loss(self.generation(pred * kept), target, reduction='sum') / len(pred)

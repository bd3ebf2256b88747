"""What the student of KD-CI-CAM takes over from its two teachers."""
from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from mmext.errors import UserError, did_you_mean
from mmext.registry import MODELS


def _batch_kl(pred: Tensor, target: Tensor) -> Tensor:
    return F.kl_div(pred, target, reduction='batchmean')


_MAP_KINDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    'l2': F.mse_loss, 'prob_kl': _batch_kl, 'smooth_l1': F.smooth_l1_loss, 'l1': F.l1_loss}
_KL_INPUTS = ('prob', 'log_prob')


def _checked(loss: str, tau: float) -> float:
    if tau <= 0:
        raise UserError(f'{loss}: tau={tau} must be above 0')
    return tau


@MODELS.register_module()
class TemperedKLLoss(nn.Module):
    """KL divergence of the class scores at a temperature, not multiplied by its square.

    The authors give torch's ``kl_div`` probabilities where it takes their logarithm: their term,
    ``sum t (log t - s)``, is negative and pulls ``sum t s`` up. That is ``kl_input='prob'``.

    Args:
        tau: Temperature, above 0.
        kl_input: 'prob', as the authors train, or 'log_prob', the divergence itself.

    Raises:
        UserError: On another value.
    """

    def __init__(self, tau: float = 15.0, kl_input: str = 'prob') -> None:
        super().__init__()
        if kl_input not in _KL_INPUTS:
            raise UserError(f"TemperedKLLoss: kl_input='{kl_input}'{did_you_mean(kl_input, _KL_INPUTS)} "
                            f'(choose from {", ".join(_KL_INPUTS)})')
        self.tau, self.kl_input = _checked('TemperedKLLoss', tau), kl_input

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Mean over the samples.

        Args:
            pred: The student's logits ``(B, K)``.
            target: The teacher's.
        """
        pred = pred / self.tau
        return _batch_kl(pred.softmax(1) if self.kl_input == 'prob' else pred.log_softmax(1),
                         (target / self.tau).softmax(1))


@MODELS.register_module()
class SigmoidMapLoss(nn.Module):
    """Distance of the sigmoids of class activation maps at a temperature.

    Args:
        tau: Temperature, above 0.
        kind: 'l2', 'l1', 'smooth_l1', or 'prob_kl', torch's ``kl_div`` of the sigmoids themselves.

    Raises:
        UserError: On another value.
    """

    def __init__(self, tau: float = 15.0, kind: str = 'l2') -> None:
        super().__init__()
        if kind not in _MAP_KINDS:
            raise UserError(f"SigmoidMapLoss: kind='{kind}'{did_you_mean(kind, _MAP_KINDS)} (choose from "
                            f'{", ".join(_MAP_KINDS)})')
        self.tau, self.kind = _checked('SigmoidMapLoss', tau), kind

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Mean over all values ('prob_kl': their sum over a sample).

        Args:
            pred: The student's maps ``(B, K, h, w)``.
            target: The teacher's.
        """
        return _MAP_KINDS[self.kind]((pred / self.tau).sigmoid(), (target / self.tau).sigmoid())

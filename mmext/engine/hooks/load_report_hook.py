"""Says what of a checkpoint was loaded, and refuses one that does not belong to the model."""
from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from torch import nn

from ...errors import UserError
from ...registry import HOOKS
from ..checkpoint.report import compare


@HOOKS.register_module()
class LoadReportHook(Hook):
    """mmengine loads whatever fits and goes on; a test then scores random weights.

    Args:
        strict: Refuse a file that lacks weights of the model or has them in another shape. A run
            that is resumed is refused in any case unless every key fits.

    Raises:
        UserError: With a list of what does not fit.
    """

    priority = 'VERY_HIGH'

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Compare before anything is copied."""
        model = _bare(runner.model)
        state = checkpoint.get('state_dict', checkpoint)
        weights = {key: value for key, value in state.items() if hasattr(value, 'shape')}
        fit = compare(model.state_dict(), weights)
        if fit.whole:
            return
        source = runner._load_from or runner.work_dir
        if runner._resume:
            raise UserError(f'cannot resume from {source}: it is of another model; {fit}')
        if not fit.loaded:
            raise UserError(f'{source} has none of the weights of this model; {fit}')
        if self.strict and (fit.shapes or _learned(model) & set(fit.missing)):
            raise UserError(f'{source} does not belong to this config; {fit}\n'
                            'To go on with what fits: --partial-checkpoint')
        runner.logger.warning(f'{source}: {fit}')


def _bare(model: nn.Module) -> nn.Module:
    from mmengine.model import BaseTTAModel, is_model_wrapper
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module  # type: ignore[assignment]
    return model


def _learned(model: nn.Module) -> set[str]:
    """Keys that training fills; other buffers (index tables, counters) can be made anew."""
    return {name for name, _ in model.named_parameters()} | \
        {name for name, _ in model.named_buffers() if name.endswith(('running_mean', 'running_var'))}

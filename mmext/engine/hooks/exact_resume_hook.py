"""A run that was stopped and resumed equals one that was not, bit for bit."""
from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

from ...registry import HOOKS
from ..draws import position, seed_step

_KEY = 'mmext_gradients'


def _bare(model: torch.nn.Module) -> torch.nn.Module:
    from mmengine.model import is_model_wrapper
    return model.module if is_model_wrapper(model) else model  # type: ignore[return-value]


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Takes what a checkpoint of mmengine lacks out of the game.

    mmengine stores weights, optimizer, schedulers, EMA, loss scale and logs, but no state of any
    random generator, neither of the main process nor of the workers. Storing them would tie a
    checkpoint to the number of workers and to the batches they had read ahead. This hook makes
    every random number a function of the run's seed and the iteration (model) or the position in
    the data instead (:mod:`mmext.engine.draws`): there is nothing to store. ``mmext train`` adds it.

    Gradients of an unfinished accumulation (``accumulative_counts``) are stored.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._gradients: dict[str, torch.Tensor] = {}

    def before_train(self, runner: Any) -> None:
        """Reach the data loader before its workers start."""
        loader = runner.train_loop.dataloader
        if not position(loader, runner.seed, get_rank(), get_world_size()):
            runner.logger.warning(f'{type(loader.dataset).__name__} draws its random numbers by itself: a '
                                  'resumed run will not repeat the undisturbed one exactly')
        elif isinstance(runner.train_loop, EpochBasedTrainLoop):
            loader.batch_sampler.skip_batches(runner.iter % len(loader))  # it was stopped within an epoch
        if self._gradients:
            parameters = dict(_bare(runner.model).named_parameters())
            for name, gradient in self._gradients.items():
                parameters[name].grad = gradient.to(parameters[name])
            self._gradients = {}

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the step."""
        different = runner._randomness_cfg.get('diff_rank_seed', False)
        seed_step(runner.seed, get_rank() if different else 0, runner.iter)

    def after_train(self, runner: Any) -> None:
        """End the loader's workers; left to the garbage collector they hang for seconds."""
        loop = runner.train_loop
        if hasattr(loop, 'dataloader_iterator'):
            loop.dataloader_iterator._iterator = None
        loop.dataloader._iterator = None

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep gradients that wait for more."""
        wrapper = runner.optim_wrapper
        count = getattr(wrapper, '_accumulative_counts', 1)
        if 'optimizer' in checkpoint and count > 1 and wrapper._inner_count % count:
            checkpoint[_KEY] = {name: parameter.grad.cpu() for name, parameter in
                                _bare(runner.model).named_parameters() if parameter.grad is not None}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Take them out again."""
        if runner._resume:
            self._gradients = checkpoint.get(_KEY, {})

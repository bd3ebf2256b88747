"""Says which loss, gradient and images made a training step not finite, and what to do about it."""
from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from mmengine.hooks import Hook
from torch import Tensor

from ...errors import UserError, did_you_mean
from ...registry import HOOKS
from ..checkpoint.loading import load_file
from ..checkpoint.newest import newest_checkpoint

POLICIES = ('stop', 'skip', 'roll back')


class _NotFinite(Exception):
    """Leaves ``optimizer.step`` before it has changed anything."""


class _Step(NamedTuple):
    """What one step left to be looked at, on its device."""

    iteration: int
    images: list[str]
    names: list[str]
    values: Tensor

    def bad(self) -> list[str]:
        return [name for name, finite in zip(self.names, self.values.isfinite().tolist()) if not finite]


def image_names(data_batch: Any) -> list[str]:
    """Paths, or else ids, of the images in a batch of any host, as far as it names them."""
    samples = data_batch.get('data_samples', []) if isinstance(data_batch, Mapping) else []
    if isinstance(samples, Mapping):  # several views of the same images
        samples = [one for view in samples.values() for one in view]
    names = []
    for sample in samples:
        about = getattr(sample, 'metainfo', {})
        names.append(str(about.get('img_path') or about.get('img_id') or '?'))
    return names


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Watches losses and gradients of every step.

    The norms of all gradients are taken in one pass over them, and with them the step's losses are
    judged before the optimizer changes a weight. On a GPU the verdict of a step is read when the
    next one is already queued, so that the host never waits (``policy='stop'`` and
    ``'roll back'``; nothing is written to a checkpoint in between); ``'skip'`` has to know before
    the weights change and reads it at once. With mixed precision in float16 the loss scaler skips
    such steps by itself; then only the losses are watched.

    Args:
        policy: 'stop' ends the training with an error that names iteration, losses, first bad
            gradient and images. 'skip' warns and leaves that step out. 'roll back' warns and takes
            weights and optimizer back from the newest whole checkpoint, then goes on with other data.
        patience: Number of bad steps in a row after which 'skip' and 'roll back' stop as well.

    Raises:
        UserError: On an unknown policy, and when training stops.
    """

    priority = 'VERY_LOW'

    def __init__(self, policy: str = 'stop', patience: int = 3) -> None:
        if policy not in POLICIES:
            raise UserError(f"NonFiniteHook: policy cannot be '{policy}'{did_you_mean(policy, POLICIES)} "
                            f'(choose from {", ".join(POLICIES)})')
        self.policy, self.patience = policy, patience
        self._waiting: deque[_Step] = deque()
        self._losses: dict[str, Tensor] = {}
        self._images: list[str] = []
        self._in_a_row = 0
        self._runner: Any = None
        self._undo: list[Any] = []

    # ------------------------------------------------------------------------------- where it looks

    def before_train(self, runner: Any) -> None:
        """Put a watch on the model's losses and on the optimizer's step."""
        from mmengine.model import is_model_wrapper
        from mmengine.optim import AmpOptimWrapper, OptimWrapper

        self._runner = runner
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        parse = model.parse_losses

        def parse_losses(losses: Mapping[str, Any]) -> Any:
            total, terms = parse(losses)
            self._losses = {name: value.detach() for name, value in terms.items()
                            if isinstance(value, Tensor)}
            return total, terms

        model.parse_losses = parse_losses
        self._undo.append(lambda: vars(model).pop('parse_losses', None))
        wrapper = runner.optim_wrapper
        scaled = isinstance(wrapper, AmpOptimWrapper) and wrapper.loss_scaler.is_enabled()
        if not isinstance(wrapper, OptimWrapper) or scaled:
            return
        self._names = {id(parameter): name for name, parameter in model.named_parameters()}
        handle = wrapper.optimizer.register_step_pre_hook(self._before_step)
        self._undo.append(handle.remove)
        step = wrapper.step

        def guarded_step(**kwargs: Any) -> None:
            try:
                step(**kwargs)
            except _NotFinite:
                wrapper.zero_grad()

        wrapper.step = guarded_step
        self._undo.append(lambda: vars(wrapper).pop('step', None))

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Note which images come."""
        self._images = image_names(data_batch)

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        gradients = [(self._names.get(id(parameter), '?'), parameter.grad)
                     for group in optimizer.param_groups for parameter in group['params']
                     if parameter.grad is not None]
        if not gradients:
            return
        norms = torch.stack([norm.float() for norm in torch._foreach_norm([grad for _, grad in gradients])])
        step = self._step([f'gradient of {name}' for name, _ in gradients], norms)
        if self.policy == 'skip' or not norms.is_cuda:
            self._judge(step)
        else:
            self._waiting.append(step)

    def _step(self, names: list[str], values: Tensor) -> _Step:
        losses = {name: value.to(values).mean() for name, value in self._losses.items()}
        self._losses = {}
        if losses:
            values = torch.cat([torch.stack(list(losses.values())), values])
        return _Step(self._runner.iter, self._images, [*losses, *names], values)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        """Read the verdict of the step before this one."""
        if self._losses:  # nothing was updated, or the loss scaler decides on gradients
            some = next(iter(self._losses.values()))
            self._waiting.append(self._step([], some.new_zeros(0, dtype=torch.float32)))
        while self._waiting and (len(self._waiting) > 1 or not self._waiting[0].values.is_cuda):
            self._read()

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """No checkpoint before all verdicts are in."""
        while self._waiting:
            self._read()

    def after_train(self, runner: Any) -> None:
        """Take the watches off."""
        while self._waiting:
            self._read()
        while self._undo:
            self._undo.pop()()

    # --------------------------------------------------------------------------------- what it does

    def _read(self) -> None:
        with suppress(_NotFinite):  # the step is over
            self._judge(self._waiting.popleft())

    def _judge(self, step: _Step) -> None:
        bad = step.bad()
        if not bad:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        losses = [name for name in bad if not name.startswith('gradient of ')]
        gradients = [name for name in bad if name.startswith('gradient of ')]
        if len(losses) > 1:
            losses = [name for name in losses if name != 'loss']  # the sum says nothing more
        what = []
        if losses:
            what.append(f'losses {", ".join(losses)}')
        if gradients:
            what.append(gradients[0] + (f' and {len(gradients) - 1} more' if gradients[1:] else ''))
        message = (f'iteration {step.iteration + 1}: not finite: {"; ".join(what)}; '
                   f'images: {", ".join(step.images) or "unnamed"}')
        if self.policy == 'stop' or self._in_a_row > self.patience:
            row = f' ({self._in_a_row} bad steps in a row)' if self._in_a_row > 1 else ''
            raise UserError(f'{message}{row}\nA lower learning rate, optim_wrapper.clip_grad or a longer '
                            'warm-up is the usual cure. To leave such steps out: '
                            "custom_hooks=[dict(type='mmext.NonFiniteHook', policy='skip')]")
        if self.policy == 'roll back':
            message += f'; {self._roll_back()}'
        else:
            message += '; step left out'
        self._runner.logger.warning(message)
        raise _NotFinite

    def _roll_back(self) -> str:
        from mmengine.model import is_model_wrapper

        runner = self._runner
        path, _ = newest_checkpoint(runner.work_dir)
        if path is None:
            return 'no checkpoint to go back to, step left out'
        checkpoint = load_file(path, 'cpu')
        runner.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model.load_state_dict(checkpoint['state_dict'])
        if 'optimizer' in checkpoint:
            lrs = [group['lr'] for group in runner.optim_wrapper.param_groups]
            runner.optim_wrapper.load_state_dict(checkpoint['optimizer'])
            for group, lr in zip(runner.optim_wrapper.param_groups, lrs):
                group['lr'] = lr  # the schedule goes on
        self._waiting.clear()
        return f'weights and optimizer are back at {path.name}'

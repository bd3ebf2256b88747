"""Moves each teacher of CST towards its own student."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from ...errors import UserError
from ...registry import HOOKS


def move_towards(teacher: nn.Module, student: nn.Module, momentum: float, skip_buffers: bool = False) -> None:
    """``teacher = (1 - momentum) * teacher + momentum * student``, in place.

    Args:
        teacher: What moves.
        student: What it moves towards; the same architecture.
        momentum: In (0, 1]; 1 copies.
        skip_buffers: Leave running statistics as they are. Integer buffers are copied otherwise.
    """
    source, target = (dict(one.named_parameters()) if skip_buffers else one.state_dict()
                      for one in (student, teacher))
    moving: tuple[list[Tensor], list[Tensor]] = ([], [])
    with torch.no_grad():
        for name, value in target.items():
            if value.dtype.is_floating_point and momentum < 1:
                moving[0].append(value.detach())
                moving[1].append(source[name].detach())
            else:
                value.detach().copy_(source[name])
        if moving[0]:
            torch._foreach_lerp_(moving[0], moving[1], momentum)


@HOOKS.register_module()
class CycleMeanTeacherHook(Hook):
    """Averages of the students' weights for :class:`mmext.CycleSelfTraining`.

    The averages stay within a pair; only pseudo-labels cross. While the burn-in lasts the teachers
    wait, at its end they become copies. mmdet's hook leaves buffers out: with trainable batch norm a
    teacher then keeps its first running statistics and finds nothing.

    Args:
        momentum: Share of the student in each update, in (0, 1).
        interval: Iterations between updates.
        skip_buffers: Average parameters only.
        burn_in_iters: Iterations without updates; the model's ``semi_train_cfg`` says by default.
        pairs: Names of student and teacher in the model.

    Raises:
        UserError: If the momentum is out of range, or the model lacks a member.
    """

    priority = 'NORMAL'

    def __init__(self, momentum: float = 4e-4, interval: int = 1, skip_buffers: bool = False,
                 burn_in_iters: int | None = None,
                 pairs: Sequence[tuple[str, str]] = (('student1', 'teacher1'),
                                                     ('student2', 'teacher2'))) -> None:
        if not 0 < momentum < 1:
            raise UserError(f'CycleMeanTeacherHook: expected 0 < momentum < 1, got {momentum}')
        self.momentum, self.interval, self.skip_buffers = momentum, interval, skip_buffers
        self.burn_in_iters, self.pairs = burn_in_iters, tuple(tuple(pair) for pair in pairs)

    def before_train(self, runner: Any) -> None:
        """Teachers start as copies, unless the run is resumed."""
        model = _bare(runner.model)
        lacking = [name for pair in self.pairs for name in pair if not hasattr(model, name)]
        if lacking:
            raise UserError(f'CycleMeanTeacherHook: {type(model).__name__} has no {", ".join(lacking)}; the '
                            'hook belongs to mmext.CycleSelfTraining')
        if runner.iter == 0:
            self._move(model, 1)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        """Move, after the optimizer has."""
        model = _bare(runner.model)
        wait = self.burn_in_iters
        if wait is None:
            wait = getattr(model, 'semi_train_cfg', {}).get('burn_in_iters', 0)
        done = runner.iter + 1
        if done == wait:
            self._move(model, 1)
        elif done > wait and done % self.interval == 0:
            self._move(model, self.momentum)

    def _move(self, model: nn.Module, momentum: float) -> None:
        for student, teacher in self.pairs:
            move_towards(getattr(model, teacher), getattr(model, student), momentum, self.skip_buffers)


def _bare(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model  # type: ignore[return-value]

"""Distillation is switched by the iteration alone, so that a resumed run goes on as the first would."""
from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.runner import IterBasedTrainLoop

from mmext.engine.hooks.distill_schedule_hook import DistillScheduleHook
from mmext.errors import UserError


@given(st.integers(0, 9), st.none() | st.integers(1, 9), st.booleans(), st.integers(0, 9))
def test_on_from_begin_to_end(begin: int, length: int | None, by_epoch: bool, now: int) -> None:
    end = None if length is None else begin + length
    hook = DistillScheduleHook(begin, end, by_epoch)
    other = 99 if by_epoch else -1
    runner = SimpleNamespace(model=SimpleNamespace(distilling=None), iter=other if by_epoch else now,
                             epoch=now if by_epoch else other)
    hook.before_train_iter(runner, 0)
    assert runner.model.distilling == (begin <= now < (end if end is not None else 10**9))


def test_wrong_use_is_refused() -> None:
    with pytest.raises(UserError, match='end=3 must be after begin=3'):
        DistillScheduleHook(3, 3)
    with pytest.raises(UserError, match='SimpleNamespace is no mmext.Distiller'):
        DistillScheduleHook().before_train(SimpleNamespace(model=SimpleNamespace()))
    loop = object.__new__(IterBasedTrainLoop)
    runner = SimpleNamespace(model=SimpleNamespace(distilling=True), train_loop=loop)
    DistillScheduleHook(end=10).before_train(runner)
    with pytest.raises(UserError, match='counts iterations only'):
        DistillScheduleHook(end=10, by_epoch=True).before_train(runner)

"""A share of a run's time, which extras like pictures may not exceed."""
from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Budget:
    """Counts what was spent on extras against what the run itself took.

    Args:
        share: Of the run's own time, from 0 to 1.
        started: When the run began, by ``clock``; None means now.
        clock: Seconds, never going back.

    Attributes:
        spent: Seconds used on extras so far.
    """

    def __init__(self, share: float = 0.05, started: float | None = None,
                 clock: Callable[[], float] = time.monotonic) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f'share must be from 0 to 1, not {share}')
        self.share, self.clock, self.spent = share, clock, 0.
        self.started = clock() if started is None else started

    @property
    def run(self) -> float:
        """Seconds of the run so far, without the extras."""
        return self.clock() - self.started - self.spent

    def left(self, part: float = 1.) -> float:
        """Seconds that may still be spent; negative when too much was.

        Args:
            part: Of the share: an extra that may use only this part of it.
        """
        return part * self.share * self.run - self.spent

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Counts the time of the block."""
        begin = self.clock()
        try:
            yield
        finally:
            self.spent += self.clock() - begin

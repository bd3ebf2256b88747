"""What a check found."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a config.

    Attributes:
        path: Dotted place in the config, for example ``model.bbox_head.loss_cls``.
        message: What is wrong, in one sentence.
        severity: 'error' (the run would fail or train on nonsense) or 'warning'.
        suggestion: What to write instead; may be empty.
    """

    path: str
    message: str
    severity: str = 'error'
    suggestion: str = ''

    def __str__(self) -> str:
        return f'{self.path}: {self.message}' + (f', {self.suggestion}' if self.suggestion else '')

    def to_dict(self) -> dict[str, Any]:
        """The four fields, for ``--json``."""
        return asdict(self)


def errors(problems: Iterable[Problem]) -> list[Problem]:
    """Only those that must stop a run."""
    return [problem for problem in problems if problem.severity == 'error']

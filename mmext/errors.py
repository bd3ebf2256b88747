"""What a user is told when something they wrote is wrong."""
from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The user's input is wrong: a file, a key or a value.

    The message names the offender, what was expected and, where there is one, the nearest valid
    choice. Command-line tools print it without a traceback and exit with code 2.
    """


def nearest(name: str, choices: Iterable[str], count: int = 3) -> list[str]:
    """The ``choices`` closest to ``name``, best first; case is ignored. May be empty."""
    by_lower = {choice.lower(): choice for choice in sorted(choices, reverse=True)}
    found = difflib.get_close_matches(name.lower(), by_lower, n=count, cutoff=0.6)
    return [by_lower[lower] for lower in found]


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """``'; did you mean A, B or C?'`` for a mistyped ``name``, or an empty string."""
    found = nearest(name, choices)
    if not found:
        return ''
    head, last = ', '.join(found[:-1]), found[-1]
    return f'; did you mean {head} or {last}?' if head else f'; did you mean {last}?'

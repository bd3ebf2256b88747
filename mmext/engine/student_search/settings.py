"""The ``search`` of a config."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ...errors import UserError, did_you_mean

STRATEGIES = ('evolution', 'random')
_NUMBERS = ('population', 'tournament', 'evaluations', 'batch_size')


@dataclass(frozen=True)
class SearchSettings:
    """How a student is searched.

    Attributes:
        space: See :class:`SearchSpace`.
        teacher: Config of the teacher's model, or a config file; None takes that of a Distiller.
        score: Config of a task util with ``prepare``, ``__call__`` and ``ranked_by``, see
            :class:`mmext.models.distillers.diswot.DisWOTScore`.
        strategy: 'evolution' (aging evolution, Real et al., AAAI 2019) or 'random'.
        population: How many candidates live at a time; so many are drawn at first.
        tournament: How many of them compete for being the next parent.
        evaluations: How many different candidates are scored. A space that is not larger is scored
            altogether.
        batch_size: Of the labelled training images.
        max_params: Parameters that a candidate may have at most.
        max_flops: Multiply-adds of convolutions and matrix products for one of the images, at most.
        seed: Of weights, batch and search.
    """

    space: Mapping[str, Any]
    teacher: Any = None
    score: Mapping[str, Any] | None = None
    strategy: str = 'evolution'
    population: int = 36
    tournament: int = 8
    evaluations: int = 1000
    batch_size: int = 64
    max_params: float | None = None
    max_flops: float | None = None
    seed: int = 0

    @classmethod
    def from_cfg(cls, cfg: Any) -> SearchSettings:
        """From ``search=dict(space=..., teacher=..., ...)``.

        Raises:
            UserError: On an unknown key or a value out of its range.
        """
        if not isinstance(cfg, Mapping) or 'space' not in cfg:
            raise UserError("the config has no search=dict(space={'model.backbone.depth': [18, 34]}, "
                            "teacher='big.py'): see configs/diswot")
        known = [field.name for field in fields(cls)]
        for key in cfg:
            if key not in known:
                raise UserError(f"search has the unknown key '{key}'{did_you_mean(key, known)} (choose from "
                                f'{", ".join(known)})')
        found = cls(**cfg)
        if found.strategy not in STRATEGIES:
            raise UserError(f"search.strategy='{found.strategy}'"
                            f'{did_you_mean(str(found.strategy), STRATEGIES)} (choose from '
                            f'{", ".join(STRATEGIES)})')
        for key in _NUMBERS:
            value = getattr(found, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f'search.{key}={value!r}: expected a whole number of 1 or more')
        if found.tournament > found.population:
            raise UserError(f'search.tournament={found.tournament} cannot be larger than '
                            f'search.population={found.population}')
        for key in ('max_params', 'max_flops'):
            value = getattr(found, key)
            if value is not None and (not isinstance(value, int | float) or value <= 0):
                raise UserError(f'search.{key}={value!r}: expected a positive number or None')
        return found

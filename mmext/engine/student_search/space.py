"""What may vary in a config, and by which values."""
from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import UserError, did_you_mean
from ..config_check.resolve import Resolver
from ..config_check.signatures import known_arguments

if TYPE_CHECKING:
    from mmengine.config import Config

#: A candidate: the position of its choice in each field.
Genes = tuple[int, ...]


@dataclass(frozen=True)
class SearchSpace:
    """Fields of a config with the values that each may have.

    Attributes:
        fields: Dotted keys (``model.backbone.depth``), or names of choices that set several keys.
        choices: The values of each field.
    """

    fields: tuple[str, ...]
    choices: tuple[tuple[Any, ...], ...]

    @classmethod
    def from_cfg(cls, space: Any, cfg: Config) -> SearchSpace:
        """The space of ``{'model.backbone.depth': [18, 34, 50], ...}``.

        A choice that is a dict of dotted keys sets all of them at once, for fields that depend on each
        other; the field's own name is then free.

        Args:
            space: The config's ``search.space``.
            cfg: The config that the fields are in.

        Raises:
            UserError: If there is nothing to choose, or a key has no place in the config.
        """
        if not isinstance(space, Mapping) or not space:
            raise UserError("search.space: expected {'model.backbone.depth': [18, 34, 50], ...}, got "
                            f'{space!r}')
        choices = []
        for name, values in space.items():
            if not isinstance(values, Sequence) or isinstance(values, str) or not values:
                raise UserError(f'search.space: {name} needs a list of values, not {values!r}')
            if len({repr(value) for value in values}) < len(values):
                raise UserError(f'search.space: {name} has a value twice')
            for value in values:
                for key in _patch(name, value):
                    _check_key(cfg, key)
            choices.append(tuple(values))
        return cls(tuple(space), tuple(choices))

    @property
    def size(self) -> int:
        """How many candidates there are."""
        return math.prod(len(values) for values in self.choices)

    def patch(self, genes: Genes) -> dict[str, Any]:
        """The dotted keys that a candidate sets."""
        result: dict[str, Any] = {}
        for name, value in self.describe(genes).items():
            result.update(_patch(name, value))
        return result

    def describe(self, genes: Genes) -> dict[str, Any]:
        """A candidate's choices by field."""
        return {name: values[gene] for name, values, gene in zip(self.fields, self.choices, genes)}

    def draw(self, rng: random.Random) -> Genes:
        """Any candidate."""
        return tuple(rng.randrange(len(values)) for values in self.choices)

    def mutate(self, genes: Genes, rng: random.Random) -> Genes:
        """A candidate that differs in one field."""
        at = rng.choice([index for index, values in enumerate(self.choices) if len(values) > 1])
        other = rng.randrange(len(self.choices[at]) - 1)
        return (*genes[:at], other + (other >= genes[at]), *genes[at + 1:])

    def all(self) -> itertools.product[Genes]:
        """Every candidate."""
        return itertools.product(*(range(len(values)) for values in self.choices))


def _patch(name: str, value: Any) -> dict[str, Any]:
    several = isinstance(value, Mapping) and value and all(key.startswith('model.') for key in value)
    return dict(value) if several else {name: value}


def _check_key(cfg: Config, key: str) -> None:
    """Refuse a key that is not in the model, naming the nearest."""
    parts = key.split('.')
    if parts[0] != 'model' or len(parts) < 2:
        raise UserError(f"search.space: '{key}' is no key of the model, for example model.backbone.depth (a "
                        'choice that sets several keys is a dict of them)')
    node: Any = cfg.model
    for depth, part in enumerate(parts[1:], 1):
        where = '.'.join(parts[:depth])
        if isinstance(node, list | tuple):
            if isinstance(node, tuple):
                raise UserError(f"search.space: {key}: '{where}' is a tuple; write it as a list [...] in the "
                                'config, then its items can be set')
            if not part.isdigit() or int(part) >= len(node):
                raise UserError(f"search.space: {key}: '{where}' is a list of {len(node)}, it has no "
                                f"'{part}'")
            node = node[int(part)]
        elif not isinstance(node, Mapping):
            raise UserError(f"search.space: {key}: '{where}' is {node!r}, which has no keys")
        elif part in node:
            node = node[part]
        else:
            known = _arguments(cfg, node) if depth == len(parts) - 1 else set()
            if known is None or part in known:  # a default of the constructor
                return
            raise UserError(f"search.space: {key}: '{where}' has no '{part}'"
                            f'{did_you_mean(part, {*node, *known})}')


def _arguments(cfg: Config, node: Mapping[str, Any]) -> set[str] | None:
    """What the class of a config takes; None: anything, or nobody knows."""
    from mmengine.registry import MODELS
    if 'type' not in node:
        return set()
    found = Resolver().find(MODELS, node.get('_scope_') or cfg.get('default_scope') or 'mmengine',
                            node['type'])
    known = known_arguments(found) if found is not None else None
    return None if known is None else set(known)

"""A search on disk: its candidates, whole after each of them, and what they are the candidates of."""
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...apis.writers import replacing
from ...errors import UserError
from .candidate import CAPS, Candidate
from .space import Genes

FILE = 'search.json'
_VERSION = 1


class SearchState:
    """The file of a search.

    Args:
        path: The file.
        identity: Everything that scores and their order depend on, as JSON values by name.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        self.identity = json.loads(json.dumps(identity))  # as it will be read again
        self.candidates: dict[Genes, Candidate] = {}

    def load(self) -> None:
        """Read what an earlier run has found; what could not be built then is tried again.

        Raises:
            UserError: If the file cannot be read or belongs to another search.
        """
        try:
            content = json.loads(self.path.read_text())
            found = [Candidate(**{**one, 'genes': tuple(one['genes'])}) for one in content['candidates']]
            identity = content['identity']
            if content['version'] != _VERSION:
                raise ValueError(f'version {content["version"]}, expected {_VERSION}')
        except (OSError, ValueError, KeyError, TypeError) as error:
            what = f'{error} is missing' if isinstance(error, KeyError) else error
            raise UserError(f'{self.path} is not the state of a search: {what}') from None
        for key in {**identity, **self.identity}:
            before, now = identity.get(key), self.identity.get(key)
            if before != now:
                raise UserError(f'{self.path} belongs to another search: {key} was {_short(before)}, now it '
                                f'is {_short(now)}; take another --work-dir, or change it back')
        self.candidates = {one.genes: one for one in found if one.refused in ('', *CAPS)}

    def add(self, candidate: Candidate) -> None:
        """Keep a candidate, on disk too."""
        self.candidates[candidate.genes] = candidate
        rows = [{**asdict(one), 'value': one.value if one.scored else None}
                for one in self.candidates.values()]
        for row in rows:
            if row['value'] is None:
                del row['value']
        with replacing(self.path) as path:
            path.write_text(json.dumps(dict(version=_VERSION, identity=self.identity, candidates=rows)))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f'{text[:57]}...'

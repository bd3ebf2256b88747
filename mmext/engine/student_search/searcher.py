"""Evolution over a search space, as a function of the seed and the scores alone."""
from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping

from ...errors import UserError
from .candidate import CAPS, Candidate
from .space import Genes, SearchSpace

_BROKEN = 20  # so many candidates that cannot be built at first end the search
_CAPPED = 2000  # so many above the caps
_TRIES = 100  # mutations of a parent before a candidate is drawn anew


class StudentSearcher:
    """Aging evolution (Real et al., AAAI 2019), as DisWOT uses it, or random search.

    The first ``population`` candidates are drawn; then the best of ``tournament`` living ones has a child
    that differs in one field, and the oldest dies. No candidate is scored twice. Which comes next depends
    on the seed and on earlier scores only: a search goes on exactly from the scores that are known.

    Args:
        space: What varies.
        evaluate: Scores a candidate.
        population: How many live.
        tournament: How many compete.
        evaluations: How many are scored. A space that is not larger is scored altogether.
        strategy: 'evolution' or 'random'.
        seed: Of the draws.
    """

    def __init__(self, space: SearchSpace, evaluate: Callable[[Genes], Candidate], population: int = 36,
                 tournament: int = 8, evaluations: int = 1000, strategy: str = 'evolution',
                 seed: int = 0) -> None:
        self.space, self.evaluate, self.strategy = space, evaluate, strategy
        self.population, self.tournament, self.evaluations = population, tournament, evaluations
        self.seed = seed

    def run(self, known: Mapping[Genes, Candidate] | None = None,
            on_candidate: Callable[[Candidate, bool], None] | None = None) -> dict[Genes, Candidate]:
        """Search.

        Args:
            known: Candidates of an earlier run; they are not evaluated again.
            on_candidate: Called after each one with it and whether it is new.

        Returns:
            All candidates, those of the earlier run included, in the order of the search.

        Raises:
            UserError: If no candidate can be built or none is within the caps.
        """
        known = dict(known or {})
        rng = random.Random(self.seed)
        everything = None
        if self.space.size <= self.evaluations:
            everything = list(self.space.all())
            rng.shuffle(everything)
        seen: dict[Genes, Candidate] = {}
        living: deque[Candidate] = deque(maxlen=self.population)
        done = 0
        while done < self.evaluations and len(seen) < self.space.size:
            genes = everything[len(seen)] if everything is not None else self._next(rng, living, done, seen)
            new = genes not in known
            candidate = self.evaluate(genes) if new else known[genes]
            seen[genes] = candidate
            if candidate.scored:
                done += 1
                living.append(candidate)
            if on_candidate is not None:
                on_candidate(candidate, new)
            if not done:
                self._check_hope(seen)
        return {**seen, **{genes: one for genes, one in known.items() if genes not in seen}}

    def _next(self, rng: random.Random, living: deque[Candidate], done: int,
              seen: Mapping[Genes, Candidate]) -> Genes:
        if self.strategy == 'evolution' and done >= self.population:
            parent = max(rng.sample(list(living), self.tournament), key=lambda one: one.value)
            for _ in range(_TRIES):
                child = self.space.mutate(parent.genes, rng)
                if child not in seen:
                    return child
        for _ in range(_TRIES):
            genes = self.space.draw(rng)
            if genes not in seen:
                return genes
        return next(genes for genes in self.space.all() if genes not in seen)

    def _check_hope(self, seen: Mapping[Genes, Candidate]) -> None:
        capped = [one for one in seen.values() if one.refused in CAPS]
        broken = [one for one in seen.values() if one not in capped]
        if len(broken) >= min(_BROKEN, self.space.size):
            raise UserError(f'none of the first {len(broken)} candidates has a score; '
                            f'{self.space.describe(broken[0].genes)}: {broken[0].refused}')
        if len(seen) >= min(_CAPPED, self.space.size):
            if not capped:
                raise UserError(f'no candidate has a score; the first: {broken[0].refused}')
            raise UserError(
                f'none of {len(seen)} candidates is within the caps: the smallest have '
                f'{min(one.params for one in capped):,} parameters and {min(one.flops for one in capped):,} '
                'FLOPs; raise search.max_params or search.max_flops')

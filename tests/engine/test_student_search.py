"""The search of a student: its space, its evolution, its state on disk."""
from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from mmext.engine.student_search import Candidate, SearchSettings, SearchSpace, StudentSearcher
from mmext.engine.student_search.candidate import Evaluator, cost_of
from mmext.engine.student_search.report import ranked
from mmext.engine.student_search.state import SearchState
from mmext.errors import UserError

MODEL = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(type='mmext.CIFARResNet', depths=[1, 1, 1]),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(type='mmpretrain.LinearClsHead', num_classes=5, in_channels=64))
WIDTHS = [{'model.backbone.base_channels': width, 'model.head.in_channels': 4 * width} for width in (4, 8)]
sizes = st.lists(st.integers(1, 6), min_size=2, max_size=4).filter(lambda these: max(these) > 1)


def config() -> Config:
    return Config(dict(default_scope='mmpretrain', model=json.loads(json.dumps(MODEL))))


def space(*counts: int) -> SearchSpace:
    return SearchSpace(tuple(f'model.f{index}' for index in range(len(counts))),
                       tuple(tuple(range(count)) for count in counts))


def rugged(genes: tuple[int, ...]) -> Candidate:
    """A fixed landscape with a single best candidate: all fields at their largest."""
    value = sum(genes) + 0.1 * random.Random(str(genes)).random()
    return Candidate(genes, dict(value=value), value)


@given(sizes, st.integers(0, 99))
def test_a_mutation_changes_one_field(counts: list[int], seed: int) -> None:
    where, rng = space(*counts), random.Random(seed)
    genes = where.draw(rng)
    child = where.mutate(genes, rng)
    assert sum(a != b for a, b in zip(genes, child)) == 1
    assert child in set(where.all()) and len(set(where.all())) == where.size


@given(sizes, st.integers(1, 60), st.sampled_from(['evolution', 'random']), st.integers(0, 9))
def test_no_candidate_is_scored_twice_and_the_budget_is_used(
        counts: list[int], evaluations: int, strategy: str, seed: int) -> None:
    where, asked = space(*counts), []

    def evaluate(genes: tuple[int, ...]) -> Candidate:
        asked.append(genes)
        return rugged(genes)

    found = StudentSearcher(where, evaluate, 6, 3, evaluations, strategy, seed).run()
    assert len(asked) == len(set(asked)) == len(found) == min(evaluations, where.size)


@given(st.integers(0, 20), st.integers(0, 59))
def test_an_interrupted_search_goes_on_exactly(seed: int, stop: int) -> None:
    where = space(5, 5, 5, 5)

    def search(evaluate: Callable[[Any], Candidate], known: Any = None, keep: Any = None) -> list[Candidate]:
        return list(StudentSearcher(where, evaluate, 8, 4, 60, seed=seed).run(known, keep).values())

    whole = search(rugged)
    known: dict[Any, Candidate] = {}

    def interrupted(genes: Any) -> Candidate:
        if len(known) == stop:
            raise KeyboardInterrupt
        return rugged(genes)

    with pytest.raises(KeyboardInterrupt):
        search(interrupted, keep=lambda one, new: known.update({one.genes: one}))
    again: list[Any] = []
    assert search(lambda genes: again.append(genes) or rugged(genes), known) == whole
    assert len(again) == 60 - stop


def test_evolution_finds_more_than_chance() -> None:
    """On a landscape that can be climbed; in the mean over seeds."""
    where = space(*(8, ) * 6)
    mean = {strategy: sum(
        ranked(list(StudentSearcher(where, rugged, 20, 6, 250, strategy, seed).run().values()))[0].value
        for seed in range(5)) / 5 for strategy in ('evolution', 'random')}
    assert mean['evolution'] > mean['random'] + 2


def test_refused_candidates_cost_no_budget() -> None:
    def evaluate(genes: tuple[int, ...]) -> Candidate:
        return Candidate(genes, refused='params', params=9) if sum(genes) % 2 else rugged(genes)

    found = StudentSearcher(space(4, 4), evaluate, 4, 2, 7).run()
    assert sum(one.scored for one in found.values()) == 7
    everything = StudentSearcher(space(4, 4), evaluate, 4, 2, 12).run()
    assert len(everything) == 16 and sum(one.scored for one in everything.values()) == 8


def test_hopeless_searches_end_with_a_reason() -> None:
    with pytest.raises(UserError, match='16 candidates is within the caps: the smallest have 9 parameters'):
        StudentSearcher(space(4, 4), lambda genes: Candidate(genes, refused='params', params=9)).run()
    with pytest.raises(UserError, match=r"first 20 .*'model.f0'.*: no such width"):
        StudentSearcher(space(40, 40), lambda genes: Candidate(genes, refused='no such width')).run()


# ------------------------------------------------------------------------------- of real networks


def real_space() -> tuple[Config, SearchSpace]:
    cfg = config()
    return cfg, SearchSpace.from_cfg({'model.backbone.depths.0': [1, 2], 'width': WIDTHS,
                                      'model.backbone.bottleneck': [False]}, cfg)


class Counting:
    """A score that counts what is built."""

    ranked_by = 'size'

    def __call__(self, build: Callable[[], Any]) -> dict[str, float]:
        return dict(size=float(sum(one.numel() for one in build().parameters())))


def test_fields_are_set_in_the_config() -> None:
    cfg, where = real_space()
    evaluator = Evaluator(cfg, where, Counting(), (3, 32, 32))
    model = evaluator.config((1, 1, 0)).model
    assert model.backbone.depths == [2, 1, 1] and model.backbone.base_channels == 8
    assert model.head.in_channels == 32 and cfg.model.backbone.depths == [1, 1, 1]
    found = [evaluator(genes) for genes in where.all()]
    assert all(one.scored and one.value == one.params for one in found)
    capped = Evaluator(cfg, where, Counting(), (3, 32, 32), max_params=found[0].params)
    assert [capped(one.genes).refused for one in found] == ['', 'params', 'params', 'params']
    flops = Evaluator(cfg, where, Counting(), (3, 32, 32), max_flops=1)
    assert flops((0, 0, 0)).refused == 'flops'


def test_a_candidate_that_cannot_be_built_is_refused_with_the_reason() -> None:
    cfg = config()
    where = SearchSpace.from_cfg({'model.backbone.depths': [[1, 1, 1], [0, 1, 1]]}, cfg)
    found = Evaluator(cfg, where, Counting(), (3, 32, 32))((1, ))
    assert 'depths=[0, 1, 1]' in found.refused


def test_the_student_of_a_distiller_is_searched() -> None:
    from mmext.engine.student_search.candidate import student_of
    cfg = dict(type='mmext.Distiller', student=MODEL)
    assert student_of(cfg) is MODEL and student_of(MODEL) is MODEL


def test_multiply_adds_of_a_convolution() -> None:
    from torch import nn

    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)

        def forward(self, inputs: Any, data_samples: Any = None, mode: str = 'tensor') -> Any:
            return self.conv(inputs)

    assert cost_of(One, (3, 8, 8)) == (3 * 4 * 9 + 4, 3 * 4 * 9 * 64)


BAD_SPACES = {
    'empty': ({}, 'expected {'),
    'one value': ({'model.backbone.depths': 3}, 'needs a list of values, not 3'),
    'twice': ({'model.backbone.depths': [[1], [1]]}, 'has a value twice'),
    'typo': ({'model.backbone.dephts': [[1]]}, "'model.backbone' has no 'dephts'; did you mean depths"),
    'parent': ({'model.bakbone.depths': [[1]]}, "'model' has no 'bakbone'; did you mean backbone"),
    'index': ({'model.backbone.depths.3': [1]}, "is a list of 3, it has no '3'"),
    'leaf': ({'model.head.in_channels.x': [1]}, 'is 64, which has no keys'),
    'outside': ({'train_cfg.max_epochs': [1]}, 'is no key of the model'),
}


@pytest.mark.parametrize('name', BAD_SPACES)
def test_wrong_spaces_are_named(name: str) -> None:
    given_space, message = BAD_SPACES[name]
    with pytest.raises(UserError, match=message):
        SearchSpace.from_cfg(given_space, config())


@pytest.mark.parametrize('changes, message', [
    (dict(populaton=3), "unknown key 'populaton'; did you mean population"),
    (dict(strategy='evolutoin'), 'did you mean evolution'), (dict(population=0), 'population=0: expected'),
    (dict(tournament=99), 'cannot be larger'), (dict(max_params=-1), 'max_params=-1: expected a positive')])
def test_wrong_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SearchSettings.from_cfg(dict(space={'model.backbone.depths': [[1]]}, **changes))
    with pytest.raises(UserError, match='has no search=dict'):
        SearchSettings.from_cfg(None)


def test_the_state_is_whole_after_each_candidate(tmp_path: Path) -> None:
    path = tmp_path / 'search.json'
    state = SearchState(path, dict(seed=0, space='abc'))
    kept = [rugged((0, 1)), Candidate((1, 1), refused='params', params=5), Candidate((0, 0), refused='x')]
    for number, candidate in enumerate(kept, 1):
        state.add(candidate)
        assert len(json.loads(path.read_text())['candidates']) == number
    again = SearchState(path, dict(space='abc', seed=0))
    again.load()
    assert list(again.candidates.values()) == kept[:2]  # what could not be built is tried again
    other = SearchState(path, dict(seed=1, space='abc'))
    with pytest.raises(UserError, match='belongs to another search: seed was 0, now it is 1'):
        other.load()
    for broken in ('{', '[]', '{"version": 1}', '{"version": 2, "identity": {}, "candidates": []}'):
        path.write_text(broken)
        with pytest.raises(UserError, match='is not the state of a search'):
            again.load()


def test_equal_scores_are_ranked_by_size() -> None:
    rows = [Candidate((index, ), dict(a=1.), 1., params) for index, params in enumerate((5, 3, 4))]
    assert all([one.params for one in ranked(list(order))] == [3, 4, 5]
               for order in itertools.permutations(rows))

"""Data for the integration tests, and a clean mmengine for each."""
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmext.datasets import toy
from tests.mmengine_state import forget_runs

REAL_DATA = Path(os.environ.get('MMEXT_REAL_DATA') or Path(__file__).parents[3] / 'shared' / 'data')


@pytest.fixture(scope='session')
def small_toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten training and five validation images of 128 px in every format: every class occurs."""
    root = tmp_path_factory.mktemp('toy')
    toy.make(root, num_train=10, num_val=5, size=128)
    return root


@pytest.fixture
def toy_data(small_toy_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small toy data, where the toy configs look for it."""
    monkeypatch.setenv('MMEXT_TOY_DATA', str(small_toy_data))
    return small_toy_data


@pytest.fixture
def real_data(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small real sets; skips where they are absent."""
    if not REAL_DATA.is_dir():
        pytest.skip('the real sets are not here (MMEXT_REAL_DATA)')
    monkeypatch.setenv('MMEXT_REAL_DATA', str(REAL_DATA))
    return REAL_DATA


@pytest.fixture(autouse=True)
def _threads_for_mmrotate(monkeypatch: pytest.MonkeyPatch) -> None:
    """mmrotate's metric starts four processes at each call, and each imports all the hosts."""
    import multiprocessing.dummy

    from mmext import hosts
    hosts.repair()
    from mmrotate.evaluation.functional import mean_ap
    monkeypatch.setattr(mean_ap, 'get_context', lambda method: multiprocessing.dummy)


@pytest.fixture(autouse=True)
def _clean_mmengine() -> Iterator[None]:
    """Runs leave named singletons behind (scopes, loggers, visualizers); each test starts anew."""
    forget_runs()
    yield
    forget_runs()

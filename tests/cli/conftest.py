"""Toy data and tiny configs for the command-line tools, run in this process."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mmext import hosts
from mmext.datasets import toy

from ..mmengine_state import forget_runs
from . import tiny_configs


@pytest.fixture
def fresh_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Hosts as in a new process: repaired, no run behind them, none left behind.

    The value makes mmengine forget a run between two runs of one test.
    """
    import torch
    hosts.repair()
    environment = dict(os.environ)
    forget_runs()
    yield forget_runs
    forget_runs()
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False
    hosts.repair()  # whatever --trust-checkpoint allowed is over
    for name in set(os.environ) - set(environment):
        del os.environ[name]


@pytest.fixture(scope='session')
def toy_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the toy data in four formats: 8 training and 6 validation images."""
    root = tmp_path_factory.mktemp('toy')
    toy.make(root, num_train=8, num_val=6, size=64)
    return root


@pytest.fixture
def configs(tmp_path: Path, toy_root: Path, monkeypatch: pytest.MonkeyPatch,
            fresh_host: Callable[[], None]) -> dict[str, Path]:
    """The tiny configs by name, written where the test works."""
    monkeypatch.setenv('MMEXT_TOY_DATA', str(toy_root))
    monkeypatch.setenv('XDG_CACHE_HOME', str(toy_root.parent / 'cache'))
    monkeypatch.chdir(tmp_path)
    return tiny_configs.write(tmp_path)

"""The doctor's cache lies beside the tests' other files."""
from __future__ import annotations

import pytest

from mmext import hosts

hosts.repair()


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """An empty cache for every test."""
    folder = tmp_path_factory.mktemp('cache')
    monkeypatch.setenv('XDG_CACHE_HOME', str(folder))
    return folder

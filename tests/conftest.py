"""For all tests: evaluations are recorded beside the tests' other temporary files, not in the checkout."""
from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import pytest
from hypothesis import settings
from mmengine.registry import DefaultScope

_FOLDER = tempfile.mkdtemp(prefix='mmext-leaderboard-')
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)
os.environ['MMEXT_LEADERBOARD'] = os.path.join(_FOLDER, 'leaderboard.sqlite')


# The same examples on every run.
settings.register_profile('mmext', derandomize=True)
settings.load_profile('mmext')


@pytest.fixture(autouse=True)
def _no_default_scope() -> None:
    """Every test starts without a default scope: a Runner leaves its own behind for the process."""
    DefaultScope._instance_dict.clear()

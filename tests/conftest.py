"""For all tests: evaluations are recorded beside the tests' other temporary files, not in the checkout."""
from __future__ import annotations

import atexit
import os
import shutil
import tempfile

_FOLDER = tempfile.mkdtemp(prefix='mmext-leaderboard-')
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)
os.environ['MMEXT_LEADERBOARD'] = os.path.join(_FOLDER, 'leaderboard.sqlite')

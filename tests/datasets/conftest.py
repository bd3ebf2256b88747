"""A small toy set, made once a session."""
from __future__ import annotations

import pytest

from mmext.datasets import toy

NUM_TRAIN, NUM_VAL = 24, 8


@pytest.fixture(scope='session')
def toy_root(tmp_path_factory):
    """Folder with all four formats: 24 training and 8 validation images of 128 pixels, seed 1."""
    root = tmp_path_factory.mktemp('toy')
    toy.make(root, num_train=NUM_TRAIN, num_val=NUM_VAL, seed=1)
    return root

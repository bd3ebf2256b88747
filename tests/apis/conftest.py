"""Toy data and one untrained model per task, made once a session."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmext.apis import Inferencer
from mmext.datasets import toy

from . import tiny


@pytest.fixture(scope='session')
def toy_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the toy data in four formats: 8 training and 4 validation images."""
    root = tmp_path_factory.mktemp('toy')
    toy.make(root, num_train=8, num_val=4, size=64)
    return root


@pytest.fixture(scope='session')
def config_file(toy_root: Path,
                tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Path of a task's config over the toy data."""
    folder = tmp_path_factory.mktemp('configs')
    return lambda task: tiny.write_config(task, folder)


@pytest.fixture(scope='session')
def inferencer(toy_root: Path, config_file: Callable[[str], Path]) -> Callable[[str], Inferencer]:
    """A task's Inferencer on the CPU, the same one for all tests."""
    made: dict[str, Inferencer] = {}

    def get(task: str) -> Inferencer:
        if task not in made:
            before = os.environ.get('MMEXT_TOY_DATA')
            os.environ['MMEXT_TOY_DATA'] = str(toy_root)
            torch.manual_seed(0)
            made[task] = Inferencer(config_file(task), device='cpu')
            if before is None:
                del os.environ['MMEXT_TOY_DATA']
            else:
                os.environ['MMEXT_TOY_DATA'] = before
            if task == 'panoptic segmentation':  # else no query of an untrained model finds a thing
                bias = made[task].model.panoptic_head.cls_embed.bias
                with torch.no_grad():
                    bias[1] += 5
        return made[task]

    return get


@pytest.fixture
def pictures(toy_root: Path) -> list[Path]:
    """The four validation pictures of the COCO set."""
    return sorted((toy_root / 'coco' / 'val').iterdir())

"""The dry batch: what fails on the first batch is named by its place."""
from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from mmext.cli.check import try_batch
from mmext.cli.config import load_config

NO_WEIGHTS = ['model.backbone.init_cfg=None']


@pytest.fixture
def cfg(configs):
    """The tiny detector."""
    return load_config(str(configs['detection']), NO_WEIGHTS)


def _texts(cfg, *phases):
    return [f'{problem.severity}: {problem}' for problem in try_batch(cfg, phases or ('train', 'val'))]


def test_nothing_wrong_and_nothing_touched(cfg):
    before = cfg.to_dict()
    states = random.getstate(), str(np.random.get_state()), torch.get_rng_state()
    assert _texts(cfg) == []
    assert cfg.to_dict() == before
    assert random.getstate() == states[0] and str(np.random.get_state()) == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_the_transform_that_fails(cfg):
    del cfg.train_dataloader.dataset.pipeline[0]  # nothing loads the image
    [problem] = _texts(cfg, 'train')
    assert problem.startswith("error: train_dataloader.dataset: pipeline[1] Resize fails: KeyError: "
                              "'scale_factor' (mmdet/datasets/transforms/transforms.py, line ")


def test_a_transform_that_cannot_be_built(cfg):
    cfg.train_dataloader.dataset.pipeline.insert(0, dict(type='RandomFlip', prob=2))
    [problem] = _texts(cfg, 'train')
    assert problem.startswith('error: train_dataloader.dataset: cannot be built: ')


def test_everything_filtered_out(cfg):
    cfg.val_dataloader.dataset.update(test_mode=False, filter_cfg=dict(min_size=10**6))
    assert _texts(cfg, 'val') == [
        'error: val_dataloader.dataset: gives not one batch: it is empty, or all of it is filtered out, '
        'mmext check --data says what is in it']


def test_a_model_that_cannot_be_built(cfg):
    cfg.model.backbone.depth = 19
    [problem] = _texts(cfg)
    assert problem.startswith('error: model: cannot be built: ') and 'invalid depth 19' in problem


def test_a_loss_that_is_not_finite(cfg):
    cfg.model.bbox_head.loss_cls.loss_weight = float('nan')
    assert _texts(cfg, 'train') == [
        'error: model: the first batch gives loss_cls that is not finite, mmext check --data looks for '
        'broken annotations']


def test_a_loss_without_parameters(cfg):
    cfg.model.bbox_head.loss_cls.loss_weight = 0.0
    cfg.model.bbox_head.loss_bbox.loss_weight = 0.0
    assert _texts(cfg, 'train') in ([], [
        'warning: model: the loss does not depend on any parameter: nothing would be trained'])


def test_a_metric_that_fails(cfg):
    cfg.val_evaluator = dict(type='DumpDetResults', out_file_path='predictions.txt')
    [problem] = _texts(cfg, 'val')
    assert problem.startswith('error: val_evaluator: fails on the first batch: ')

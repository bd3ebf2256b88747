"""Every toy config on a device that is not the processor: nothing is forgotten there.

A GPU is not needed, see tests/pretend_device.py.
"""
from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config, DictAction
from mmengine.evaluator import Evaluator
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from torch.utils._pytree import tree_flatten

from mmext.cli.config import load_config

from ..pretend_device import DEVICE, OtherDevice, pretend_device
from .test_toy_configs import OWN, SMALL, TOYS

CONFIGS = Path(__file__).parents[2] / 'configs'


def _shrunk(path: Path) -> Config:
    cfg = load_config(str(path))
    options = dict(one.split('=', 1) for one in (*SMALL, *OWN.get(path.stem, ())))
    cfg.merge_from_dict({key: DictAction._parse_iterable(value) for key, value in options.items()
                         if cfg.get(key.partition('.')[0]) is not None})
    return cfg


def _loader(cfg: Config, phase: str) -> Any:
    loader = cfg[f'{phase}_dataloader']
    if cfg.default_scope == 'mmpretrain':
        loader.setdefault('collate_fn', dict(type='default_collate'))
    return Runner.build_dataloader(loader, seed=0)


def _built(cfg: Config) -> Any:
    if cfg.get('data_preprocessor') is not None:
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return revert_sync_batchnorm(model)


def _losses_are_there(model: Any, data: Any) -> None:
    model.train()
    total, _ = model.parse_losses(model(**model.data_preprocessor(data, True), mode='loss'))
    total.backward()
    gradients = [one.grad for one in model.parameters() if one.grad is not None]
    assert gradients and all(isinstance(one, OtherDevice) for one in (total, *gradients))


@pytest.mark.parametrize('config', TOYS)
def test_nothing_is_forgotten_on_the_processor(config: Path, toy_data: Path) -> None:
    cfg = _shrunk(config)
    model = _built(cfg)
    data = next(iter(_loader(cfg, 'train')))
    with pretend_device():
        _losses_are_there(model.to(DEVICE), data)
        if cfg.get('val_dataloader') is not None:
            loader = _loader(cfg, 'val')
            data = next(iter(loader))
            metric = Evaluator(cfg.val_evaluator)
            metric.dataset_meta = loader.dataset.metainfo
            metric.process(model.eval().val_step(data), data)
            kept = tree_flatten([one.results for one in metric.metrics])[0]
            assert kept and not any(isinstance(one, OtherDevice) for one in kept)


def test_generated_captions(toy_data: Path) -> None:
    cfg = _shrunk(CONFIGS / 'cgg/cgg_r18_toy.py')
    cfg.model.test_cfg.caption = True
    model = _built(cfg)
    with pretend_device():
        results = model.to(DEVICE).eval().val_step(next(iter(_loader(cfg, 'val'))))
    assert all(isinstance(one.metainfo['caption'], str) for one in results)


@pytest.mark.parametrize('where', ['ram', 'disk'])
def test_cached_teacher(where: str, toy_data: Path, tmp_path: Path) -> None:
    cfg = _shrunk(CONFIGS / 'distill/kd_emov2-resnet18_toy.py')
    cfg.model.teachers.big.cache = dict(where=where, **({'dir': str(tmp_path)} if where == 'disk' else {}))
    model = _built(cfg)
    data = next(iter(_loader(cfg, 'val')))  # the same pictures every time
    passes: list[Any] = []
    model.networks['big'].module.register_forward_hook(lambda *_: passes.append(None))
    with pretend_device():
        model.to(DEVICE)
        for _ in range(2):
            _losses_are_there(model, copy.deepcopy(data))
    assert len(passes) == 1, 'the second time the cache answers'


@pytest.mark.parametrize('mode', ['resident', 'sequential'])
def test_ensemble(mode: str, toy_data: Path) -> None:
    cfg = _shrunk(CONFIGS / 'emov2/atss_emov2_fpn_toy.py')
    init_default_scope(cfg.default_scope)
    model = MODELS.build(dict(type='mmext.EnsembleDetector', mode=mode, detectors=[
        dict(name=name, model=cfg.model) for name in ('one', 'two')]))
    with pretend_device():
        results = model.to(DEVICE).eval().val_step(next(iter(_loader(cfg, 'val'))))
    assert all(isinstance(one.pred_instances.bboxes, OtherDevice) for one in results)


def test_the_device_refuses_what_is_elsewhere() -> None:
    with pretend_device():
        there = torch.rand(2, 3).to(DEVICE)
        made = torch.ones(3, device=there.device) + there.new_tensor([1., 2., 3.]) * torch.tensor(2.)
        torch.testing.assert_close(made.cpu(), torch.tensor([3., 5., 7.]))
        assert there[torch.tensor([0])].shape == (1, 3)  # indices may be anywhere
        for forgets in (lambda: there + torch.ones(3), lambda: torch.cat([there, torch.ones(2, 3)]),
                        lambda: there.index_put((torch.tensor([0]), ), torch.ones(3))):
            with pytest.raises(RuntimeError, match='same device'):
                forgets()

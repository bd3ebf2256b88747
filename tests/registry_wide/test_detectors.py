"""What holds for every detector: a new one gets these tests by having a toy config."""
from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmext.datasets import toy
from tests.registry_wide.detectors import batch, build, each_detector


@pytest.fixture(autouse=True)
def _data(small_toy_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MMEXT_TOY_DATA', str(small_toy_data))


@pytest.fixture(scope='module')
def small_toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few images are enough: nothing is learned here."""
    root = tmp_path_factory.mktemp('toy')
    toy.make(root, num_train=4, num_val=1, size=128, formats=('coco', 'dota'))
    return root


def _total(model: nn.Module, data: dict[str, Any]) -> Tensor:
    torch.manual_seed(1)
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    return model.parse_losses(losses)[0]


def _assert_trains(model: nn.Module, data: dict[str, Any]) -> None:
    """So DDP trains it with find_unused_parameters=False, on any batch."""
    total = _total(model.train(), data)
    assert torch.isfinite(total)
    total.backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    without = [name for name, p in trained.items() if p.grad is None]
    assert not without
    assert all(torch.isfinite(p.grad).all() for p in trained.values())


@each_detector()
def test_every_parameter_gets_a_gradient(config: Path) -> None:
    _assert_trains(build(config), batch(config))


@pytest.mark.parametrize('empty', ['one', 'all'])
@each_detector()
def test_images_without_boxes(config: Path, empty: str) -> None:
    data = batch(config)
    for sample in data['data_samples'][:1 if empty == 'one' else 2]:
        sample.gt_instances = sample.gt_instances[:0]
    _assert_trains(build(config), data)


@each_detector()
def test_boxes_without_extent(config: Path) -> None:
    data = batch(config)
    for sample in data['data_samples']:
        boxes = sample.gt_instances.bboxes
        getattr(boxes, 'tensor', boxes)[:, 2:4] = (
            0. if boxes.tensor.shape[-1] == 5 else boxes.tensor[:, :2])
    _assert_trains(build(config), data)


@each_detector()
def test_bfloat16_autocast(config: Path) -> None:
    data = batch(config)
    expected = _total(build(config).train(), copy.deepcopy(data))
    model = build(config).train()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        total = _total(model, data)
    assert abs(total - expected) < 0.1 * expected
    total.backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    wrong = [name for name, p in trained.items() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not wrong


@torch.no_grad()
def _boxes(model: nn.Module, data: dict[str, Any]) -> list[Tensor]:
    results = model.test_step(copy.deepcopy(data))
    if 'pred_instances' not in results[0]:  # panoptic segmentation: each pixel's segment
        return [one.pred_panoptic_seg.sem_seg.reshape(-1, 1) for one in results]
    return [torch.cat((one.pred_instances.bboxes.clone().reshape(len(one.pred_instances), -1),
                       one.pred_instances.scores[:, None]), dim=1) for one in results]


@each_detector()
def test_an_image_alone_and_in_a_batch(config: Path) -> None:
    model, data = build(config).eval(), batch(config)
    together = _boxes(model, data)
    for index, expected in enumerate(together):
        alone = _boxes(model, {key: value[index:index + 1] for key, value in data.items()})[0]
        # Equal scores may come in another order.
        torch.testing.assert_close(alone[:, -1], expected[:, -1], atol=1e-4, rtol=1e-4)


@each_detector()
def test_initialisation_leaves_a_checkpoint_alone(config: Path, tmp_path: Path) -> None:
    source = build(config)
    torch.save(source.state_dict(), tmp_path / 'weights.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'weights.pth'))
    target = build(config, seed=1, init_cfg=init_cfg).state_dict()
    assert not [name for name, value in source.state_dict().items() if not torch.equal(target[name], value)]


@each_detector()
def test_copies_and_pickles(config: Path) -> None:
    model, data = build(config).eval(), batch(config, 1)
    expected = _boxes(model, data)[0]
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(_boxes(twin, data)[0], expected)

"""Optimizers of a distiller: as if the student were alone, and nothing forgotten."""
from __future__ import annotations

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from mmext import hosts
from mmext.errors import UserError
from mmext.registry import MODELS

ARCH = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
STUDENT = dict(type='ImageClassifier',
               backbone=dict(type='VisionTransformer', arch=ARCH, img_size=32, patch_size=8),
               head=dict(type='VisionTransformerClsHead', num_classes=3, in_channels=16))
DECAY = 'mmpretrain.LearningRateDecayOptimWrapperConstructor'


def optimizer(model: nn.Module, kind: str, /, **paramwise):
    cfg = dict(type='OptimWrapper', constructor=kind,
               optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.05), paramwise_cfg=paramwise)
    return build_optim_wrapper(model, cfg).optimizer


@pytest.fixture
def model():
    hosts.repair()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(dict(
            type='mmext.DMT', student=STUDENT, task_loss=1., fusion='uncertainty',
            teachers=dict(t=dict(model=dict(STUDENT, head=None), random=True))))


def rates(optimizer) -> dict[int, tuple[float, float]]:
    return {id(one): (group['lr'], group['weight_decay'])
            for group in optimizer.param_groups for one in group['params']}


def test_the_student_as_if_alone_and_the_rest_at_full_rate(model) -> None:
    rules = dict(layer_decay_rate=0.5, bias_decay_mult=0.)
    found = rates(optimizer(model, 'mmext.StudentOptimWrapperConstructor', constructor=DECAY, **rules))
    alone = rates(optimizer(model.student, DECAY, **rules))
    assert alone.items() <= found.items()
    first = model.student.backbone.layers[0].attn.qkv
    assert found[id(first.weight)] == (pytest.approx(0.1 * 0.5**3), 0.05)
    own = {name: one for name, one in model.named_parameters() if not name.startswith('student.')}
    assert set(own) == {'fusion.log_variance', 'connectors.to_t.layers.0.weight',
                        'connectors.to_t.layers.0.bias'}
    assert {found[id(one)] for one in own.values() if one.ndim > 1} == {(0.1, 0.05)}
    assert {found[id(one)] for one in own.values() if one.ndim == 1} == {(0.1, 0.)}
    assert len(found) == len(alone) + len(own)


def test_its_state_is_resumed_exactly(model) -> None:
    settings = dict(constructor=DECAY, layer_decay_rate=0.5)
    first = optimizer(model, 'mmext.StudentOptimWrapperConstructor', **settings)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    first.step()
    second = optimizer(model, 'mmext.StudentOptimWrapperConstructor', **settings)
    second.load_state_dict(first.state_dict())
    assert [len(group['params']) for group in first.param_groups] == [
        len(group['params']) for group in second.param_groups]
    assert all(torch.equal(first.state[one]['exp_avg'], second.state[one]['exp_avg']) for one in first.state)


def test_plain_models_and_errors(model) -> None:
    student = model.student
    assert rates(optimizer(student, 'mmext.StudentOptimWrapperConstructor', constructor=DECAY)) \
        == rates(optimizer(student, DECAY))
    assert len(rates(optimizer(model, 'mmext.StudentOptimWrapperConstructor'))) == len(
        [one for one in model.parameters() if one.requires_grad])

    class Plain(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, inputs, data_samples=None, mode='tensor'):
            return self.fc(inputs)

    with pytest.raises(UserError, match='no layer-wise learning rates for Plain'):
        optimizer(Plain(), 'mmext.StudentOptimWrapperConstructor', constructor=DECAY, layer_decay_rate=0.5)
    with pytest.raises(UserError, match='is for the other one'):
        optimizer(model, 'mmext.StudentOptimWrapperConstructor',
                  constructor='mmext.StudentOptimWrapperConstructor')

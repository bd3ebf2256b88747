"""Teachers outside of their student's weights: where they are, how they are evaluated, what they share."""
from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmext.models.distillers.frozen_network import FrozenNetwork, TeacherOwner
from mmext.registry import MODELS

PREPROCESSOR = dict(type='mmengine.ImgDataPreprocessor', mean=[10.], std=[2.])


class Plain(BaseModel):
    def __init__(self, data_preprocessor: Any = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.layer = nn.Conv2d(1, 2, 1)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Tensor:
        return self.norm(self.layer(inputs))


class Owner(TeacherOwner, BaseModel):
    def __init__(self, teacher: Any) -> None:
        super().__init__(data_preprocessor=PREPROCESSOR)
        self.student = nn.Conv2d(1, 2, 1)
        self.networks = dict(big=FrozenNetwork('big', teacher, random=True))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.student(inputs)


@pytest.fixture(autouse=True)
def _registered() -> Any:
    MODELS.register_module(module=Plain)
    yield
    MODELS._module_dict.pop('Plain')


def test_the_data_preprocessor_of_a_teacher_moves_with_it() -> None:
    """On a GPU it has to put the images where its mean is."""
    owner = Owner(dict(type='mmext.Plain', data_preprocessor=PREPROCESSOR)).to('meta')
    preprocessor = owner.networks['big'].module.data_preprocessor
    assert str(preprocessor.device) == preprocessor.mean.device.type == 'meta'
    assert preprocessor(dict(inputs=[torch.zeros(1, 4, 4)]))['inputs'].device.type == 'meta'


@pytest.mark.parametrize('own', [None, PREPROCESSOR])
def test_evaluated_as_it_teaches(own: Any) -> None:
    """In eval mode, with the student's preprocessor where it has none; afterwards it is as before."""
    owner = Owner(dict(type='mmext.Plain', data_preprocessor=own))
    network = owner.networks['big']
    network.module.train()
    before = network.module.data_preprocessor
    with network.evaluated(owner.data_preprocessor) as module:
        assert not module.training and not module.norm.training
        images = module.data_preprocessor(dict(inputs=[torch.full((1, 2, 2), 14.)]))['inputs']
        assert torch.equal(images, torch.full((1, 1, 2, 2), 2.))
    assert network.module.training and network.module.norm.training
    assert network.module.data_preprocessor is before


def test_random_teachers_are_the_same_and_shared_by_copies() -> None:
    torch.manual_seed(1)
    first = Owner(dict(type='mmext.Plain'))
    torch.manual_seed(2)
    second = Owner(dict(type='mmext.Plain'))
    for one in (first, second):
        one.prepare_teachers()
    assert torch.equal(first.networks['big'].module.layer.weight, second.networks['big'].module.layer.weight)
    assert not torch.equal(first.student.weight, second.student.weight)
    assert copy.deepcopy(first).networks['big'] is first.networks['big']


def test_a_teacher_by_the_path_of_a_hosts_config() -> None:
    network = FrozenNetwork('big', 'mmpretrain::resnet/resnet18_8xb32_in1k.py', random=True)
    assert type(network.module).__name__ == 'ImageClassifier' and network.preprocesses
    assert float(network.module.data_preprocessor.mean.max()) > 100

"""DisWOT's metrics against the authors' code, as losses of a Distiller and as scores."""
from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmext.models.distillers.diswot import classifier_gradient, semantic_score
from mmext.registry import MODELS

from .cases import Case, cases


class GivenMap(BaseModel):
    """Returns a map that is set, as its only layer."""

    def __init__(self, data_preprocessor: Any = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.maps = nn.Identity()
        self.value = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        maps = self.maps(self.value)
        return {} if mode == 'loss' else maps


@pytest.fixture(autouse=True)
def _registered() -> Any:
    MODELS.register_module(module=GivenMap)
    yield
    MODELS._module_dict.pop('GivenMap')


def distilled(kind: str, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """A loss of a Distiller on two maps, and the student's gradient."""
    model = MODELS.build(dict(
        type='mmext.Distiller', student=dict(type='mmext.GivenMap'),
        teachers=dict(big=dict(model=dict(type='mmext.GivenMap'), random=True)),
        records=dict(s=dict(net='student', module='maps'), t=dict(net='big', module='maps')),
        losses=dict(loss_it=dict(loss=dict(type=f'mmext.{kind}'), pred='s', target='t'))))
    model.student.value = nn.Parameter(student)
    model.networks['big'].module.value = nn.Parameter(teacher, requires_grad=False)
    loss = model(torch.zeros(len(student), 3, 1, 1), None, mode='loss')['loss_it']
    loss.backward()
    return loss, model.student.value.grad


@pytest.mark.parametrize('case', cases('diswot'))
def test_case(case: Case) -> None:
    given = case.inputs
    relation, feature_gradient = distilled('BatchSimilarityLoss', given['s_feat'], given['t_feat'])
    channel, map_gradient = distilled('InterChannelCorrelationLoss', given['s_map'], given['t_map'])
    gradients = {net: classifier_gradient(given[f'{net}_pooled'] @ given[f'{net}_fc_weight'].t(),
                                          given['label'], given[f'{net}_pooled']) for net in ('s', 't')}
    semantic = semantic_score(gradients['s'], gradients['t'])
    case.check({
        'relation_loss': relation[None], 'relation_score': -relation[None],
        'channel_loss_on_maps': channel, 'grad.s_feat': feature_gradient, 'grad.s_map': map_gradient,
        's_fc_grad': gradients['s'], 't_fc_grad': gradients['t'], 'semantic_loss': -semantic,
        'semantic_score': semantic, 'diswot_score': semantic - relation})

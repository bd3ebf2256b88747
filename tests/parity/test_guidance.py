"""Guidance against the authors' code, through the Distiller's config and the guide's checkpoint."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from mmext.models.distillers.losses.guidance import cka, hsic, rsa
from mmext.registry import MODELS

from .cases import Case, cases

LAYER = re.compile(r'\((\d+)\): (\w+)\((.*)\)')
TYPES = ['Conv2d', 'Linear', 'AdaptiveAvgPool2d']


def layers(text: str) -> list[nn.Module]:
    """The layers of a printed Sequential."""
    return [getattr(nn, kind)(**_arguments(text)) if kind != 'Conv2d' else _conv(text)
            for _, kind, text in LAYER.findall(text)]


def _conv(text: str) -> nn.Conv2d:
    first, second, rest = text.split(', ', 2)
    return nn.Conv2d(int(first), int(second), **_arguments(rest))


def _arguments(text: str) -> dict[str, Any]:
    known = {}
    for name, value in re.findall(r'(\w+)=(\([^)]*\)|[^,]+)', text):
        known[name] = eval(value, {})  # numbers, tuples and booleans of torch's own repr
    if 'num_features' not in known and text.split(',')[0].isdigit():
        known['num_features'] = int(text.split(',')[0])
    return known


class PrintedNetwork(BaseModel):
    """A network given as torch prints it, with the cross-entropy of the case."""

    def __init__(self, text: str, data_preprocessor: Any = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.layers = nn.ModuleList(layers(text))

    def forward(self, inputs: torch.Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        for layer in self.layers:
            inputs = layer(inputs)
        if mode == 'loss':
            return dict(loss_ce=nn.functional.cross_entropy(inputs, data_samples))
        return inputs


@pytest.fixture(autouse=True)
def _registered() -> Any:
    MODELS.register_module(module=PrintedNetwork)
    yield
    MODELS._module_dict.pop('PrintedNetwork')


@pytest.mark.parametrize('case', cases('guidance'))
def test_case(case: Case, tmp_path: Path) -> None:
    states: dict[str, dict] = {'guide': {}, 'target': {}}
    for key, value in case.state({}).items():
        net, _, rest = key.partition('.')
        states[net][f'layers.{rest}'] = value
    torch.save(states['guide'], tmp_path / 'guide.pth')
    model = MODELS.build(dict(
        type='mmext.Distiller',
        student=dict(type='mmext.PrintedNetwork', text=case.spec['target']),
        teachers=dict(guide=dict(model=dict(type='mmext.PrintedNetwork', text=case.spec['guide']),
                                 checkpoint=str(tmp_path / 'guide.pth'))),
        records=dict(layers=dict(net='student', types=TYPES), guide_layers=dict(net='guide', types=TYPES)),
        losses=dict(loss_guidance=dict(
            loss=dict(type='mmext.GuidanceLoss'), pred='layers', target='guide_layers'))))
    model.init_weights()
    model.student.load_state_dict(states['target'], strict=True)
    model.train()
    given = case.inputs
    kept: dict[int, torch.Tensor] = {}
    loss = model.losses['loss_guidance']
    measure = loss.dissimilarities
    loss.dissimilarities = lambda *args: kept.update(measure(*args)) or kept
    losses = model(given['images'], given['label'], mode='loss')
    total = sum(losses.values())
    total.backward()
    first = next(layer for layer in model.student.layers if isinstance(layer, nn.Linear))
    X, Y = given['X'], given['Y']
    names = [f'layer_sim.{number:02}.{name}' for number, name in enumerate(case.spec['target_layers_hit'])]
    assert [int(name.rsplit('_', 1)[1]) for name in names] == sorted(kept)
    case.check(dict(zip(names, (kept[number] for number in sorted(kept)))) | losses | {
        'loss': total, 'grad.first_linear': first.weight.grad, 'cka': cka(X, Y), 'hsic': hsic(X, Y),
        'rsa': rsa(X, Y)})

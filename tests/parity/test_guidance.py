"""Guidance against the authors' code, through the Distiller's config and the guide's checkpoint."""
from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Iterator
from contextlib import suppress
from inspect import signature
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from mmext.models.distillers.losses.guidance import cka, hsic, rsa
from mmext.registry import MODELS

from .cases import Case, cases

LAYER = re.compile(r'(?:\((\w+)\): )?(\w+)\((.*?)(\)?)')
TYPES = ['Conv2d', 'Linear', 'AdaptiveAvgPool2d', 'LSTM', 'RNN', 'TransformerDecoderLayer', 'LayerNorm',
         'MultiheadAttention']


def printed(lines: Iterator[str]) -> nn.Module:
    """The layer that the next lines print; a Sequential goes on to its closing bracket."""
    _, kind, given, closed = LAYER.fullmatch(next(lines)).groups()
    if kind != 'Sequential':
        return _layer(getattr(nn, kind), given)
    parts = nn.Sequential()
    while not closed and (line := next(lines)) != ')':
        parts.add_module(LAYER.fullmatch(line)[1], printed(chain([line], lines)))
    return parts


def _layer(kind: type[nn.Module], given: str) -> nn.Module:
    positional, named = [], {}
    for one in re.findall(r'(?:\([^)]*\)|[^,])+', given):
        name, _, value = one.strip().rpartition('=')
        with suppress(ValueError, SyntaxError):  # padding=same is printed without quotes
            value = literal_eval(value)
        if not name:
            positional.append(value)
        elif name in signature(kind).parameters:  # not all versions of torch print the same
            named[name] = value
    return kind(*positional, **named)


class PrintedNetwork(BaseModel):
    """A network given as torch prints it, with the cross-entropy of the case."""

    def __init__(self, text: str, data_preprocessor: Any = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.layers = printed(line.strip() for line in text.splitlines())

    def forward(self, inputs: torch.Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        inputs = self.layers(inputs)
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
    X, Y = given['X'], given['Y']
    names = [f'layer_sim.{number:02}.{name}' for number, name in enumerate(case.spec['target_layers_hit'])]
    assert len(names) == len(kept)
    found = dict(zip(names, (kept[number] for number in sorted(kept)))) | losses | {
        'loss': total, 'cka': cka(X, Y), 'hsic': hsic(X, Y), 'rsa': rsa(X, Y)}
    for name in (name for name in case.outputs if name.startswith('grad.first_')):
        kind = name.removeprefix('grad.first_')
        first = next(one for one in model.student.modules() if type(one).__name__.lower().startswith(kind))
        found[name] = first.weight.grad
    case.check(found)

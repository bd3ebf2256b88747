"""BiFormer against the authors' code, from their arguments and weights through the converter."""
from __future__ import annotations

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmext.converters import convert
from mmext.registry import MODELS
from tests.parity.cases import Case, cases

LAYERS = ('BiLevelRoutingAttention', 'nchwBRA', 'Attention', 'AttentionLePE', 'nchwAttentionLePE',
          'Block')


def _build(case: Case, state: dict[str, Tensor], target: str | None = None,
           **changes: Any) -> nn.Module:
    cfg, converted = convert('biformer', case.args, state, case.spec['constructor'], target)
    model = MODELS.build({**cfg, **changes})
    model.load_state_dict(converted, strict=True)
    return model.eval()


def _official_shapes(case: Case) -> dict[str, Tensor]:
    """Keys and shapes of the official network: ours has the same names."""
    cfg, _ = convert('biformer', case.args, {}, case.spec['constructor'], 'backbone')
    if case.constructor.strip() == 'BiFormer_mm':
        return MODELS.build(cfg).state_dict()
    return MODELS.build(dict(cfg, num_classes=case.args.get('num_classes', 1000))).state_dict()


@pytest.mark.parametrize('case', cases('biformer'))
def test_parity(case: Case) -> None:
    x = case.inputs['x']
    constructor = case.constructor.strip()
    state = case.state(_official_shapes(case) if 'weights_recipe' in case.spec else {})
    if constructor in LAYERS:
        model = _build(case, state)
        actual = {'y': model(x)}
        if 'r_idx' in case.outputs:
            routing = model(x, return_routing=True)[1]
            actual.update(r_idx=routing.indices, r_weight=routing.weights)
    elif constructor == 'BiFormer_mm':
        # The goldens were made with batch norms in training mode.
        model = _build(case, state, norm_eval=case.args.get('norm_eval', False))
        actual = {f'out{i}': one for i, one in enumerate(model(x))}
    else:
        model = _build(case, state)
        actual = {f'stage{i}': one for i, one in enumerate(_build(case, state, 'backbone')(x))}
        actual['logits'] = model(x, mode='tensor')
        if 'params' in case.spec:
            assert sum(p.numel() for p in model.parameters()) == case.spec['params']
    if 'train_loss' in case.outputs:
        actual.update(_train_outputs(case, model.train(), x))
    case.check(actual)


def _train_outputs(case: Case, model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    x = x.clone().requires_grad_()
    out = model(x)
    if isinstance(out, tuple) and len(out) == 4:
        loss = sum(one.square().mean() for one in out)
    elif 'logits' in case.outputs:
        labels = re.search(r'cross_entropy\(logits, \[([\d, ]+)\]', case.spec['note'])
        assert labels, f'{case}: which labels?'
        logits = model(x, mode='tensor')
        loss = F.cross_entropy(logits, torch.tensor([int(n) for n in labels[1].split(',')]))
    else:
        loss = out.square().mean()
    loss.backward()
    assert x.grad is not None
    return {'train_loss': loss, 'train_grad_input': x.grad}

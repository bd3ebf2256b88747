"""EMOv2 against the authors' code, from their arguments and weights through the converter."""
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmext.converters import convert
from mmext.registry import MODELS
from tests.parity.cases import Case, cases

INNER = ('iiRMB', 'EW_MHSA_Remote', 'EW_MHSA_Close', 'EW_MHSA_Hybrid')


def _build(case: Case, target: str, state: dict[str, Tensor]) -> nn.Module:
    cfg, converted = convert('emov2', case.args, state, case.constructor, target)
    if target == 'backbone':
        cfg['out_indices'] = (0, 1, 2, 3, 4)
    module = MODELS.build(cfg)
    module.load_state_dict(converted, strict=True)
    return module


def _official_shapes(case: Case) -> dict[str, Tensor]:
    """Keys and shapes of the official network: ours has the same names."""
    cfg, _ = convert('emov2', case.args, {}, case.constructor, 'backbone')
    return MODELS.build(dict(cfg, num_classes=case.args.get('num_classes', 1000))).state_dict()


@pytest.mark.parametrize('case', cases('emov2'))
def test_parity(case: Case) -> None:
    x = case.inputs['x']
    if case.constructor in INNER:
        cfg, state = convert('emov2', case.args, case.state({}), case.constructor)
        model = MODELS.build(cfg)
        model.load_state_dict(state, strict=True)
        actual = {'y': model.eval()(x)}
    else:
        state = case.state(_official_shapes(case) if 'weights_recipe' in case.spec else {})
        maps = _build(case, 'backbone', state).eval()(x)
        model = _build(case, 'classifier', state)
        actual = {f'stage{i}': maps[i] for i in range(5)}
        actual['logits'] = model.eval()(x, mode='tensor')
        if 'params' in case.spec:
            assert sum(p.numel() for p in model.parameters()) == case.spec['params']
    if 'train_loss' in case.outputs:
        actual.update(_train_outputs(case, model.train(), x))
    case.check(actual)


def _train_outputs(case: Case, model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    x = x.clone().requires_grad_()
    if case.constructor in INNER:
        loss = model(x).square().mean()
    else:
        labels = torch.tensor([2, 0])[:len(x)]
        loss = F.cross_entropy(model(x, mode='tensor'), labels)
    loss.backward()
    assert x.grad is not None
    return {'train_loss': loss, 'train_grad_input': x.grad}

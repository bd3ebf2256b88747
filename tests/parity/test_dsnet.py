"""DS-Net against the official code, from its arguments and weights through the converter."""
from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmext.converters import convert
from mmext.registry import MODELS
from tests.parity.cases import Case, cases

# The cases were trained with every rate at 0.
RATES = ('drop', 'drop_rate', 'attn_drop', 'drop_path', 'drop_path_rate')


def _build(cfg: dict[str, Any], state: dict[str, Tensor]) -> nn.Module:
    module = MODELS.build(cfg)
    module.load_state_dict(state, strict=True)
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.
    return module.eval()


def _convert(case: Case, state: dict[str, Tensor],
             target: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    args = {name: 0. if name in RATES else value for name, value in case.args.items()}
    return convert('dsnet', args, state, case.constructor, target)


def _official_shapes(case: Case) -> dict[str, Tensor]:
    """Keys and shapes of the official network: ours has the same but for the classifier's."""
    cfg, _ = _convert(case, {}, 'classifier')
    shapes = MODELS.build(cfg).state_dict()
    return {key.removeprefix('backbone.').replace('head.fc.', 'head.'): value
            for key, value in shapes.items()}


@pytest.mark.parametrize('case', cases('dsnet'))
def test_parity(case: Case) -> None:
    x = case.inputs['x']
    if case.constructor == 'MixBlock':
        shapes = MODELS.build(_convert(case, {}, 'backbone')[0]).state_dict()
        model = _build(*_convert(case, case.state(shapes), 'backbone'))
        actual = {'y': model(x)}
    else:
        state = case.state(_official_shapes(case) if 'weights_recipe' in case.spec else {})
        maps = _build(*_convert(case, state, 'backbone'))(x)
        model = _build(*_convert(case, state, 'classifier'))
        actual = {f'stage{i + 1}': one for i, one in enumerate(maps)}
        actual['logits'] = model(x, mode='tensor')
        if 'params' in case.spec:
            assert sum(p.numel() for p in model.parameters()) == case.spec['params']
    if 'train_loss' in case.outputs:
        actual.update(_train_outputs(case, model.train(), x))
    case.check(actual)


def _train_outputs(case: Case, model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    x = x.clone().requires_grad_()
    if case.constructor == 'MixBlock':
        loss = model(x).square().mean()
    else:
        loss = F.cross_entropy(model(x, mode='tensor'), torch.tensor([0, 3])[:len(x)])
    loss.backward()
    assert x.grad is not None
    return {'train_loss': loss, 'train_grad_input': x.grad}

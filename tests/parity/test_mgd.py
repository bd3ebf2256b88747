"""MGD against the authors' code: settings and weights through the converter, losses through the loss."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mmext.converters import convert
from mmext.models.distillers.mgd.cutmix import CutMixBoxes, mix
from mmext.models.distillers.mgd.losses import region_similarity
from mmext.models.distillers.mgd.multi_granularity_loss import Views
from mmext.registry import MODELS

from .cases import Case, cases

SETTINGS = ('lambda_1', 'lambda_2', 'ignore_index', 'region_grid')
TEACHERS = {'tea1': 'wide', 'tea2': 'deep'}


@pytest.mark.parametrize('case', cases('mgd'))
def test_case(case: Case) -> None:
    case.check(_losses(case) if 'lambda_1' in case.spec else _aspp(case))


def _aspp(case: Case) -> dict[str, Tensor]:
    cfg, state = convert('mgd', case.args, case.state({}), 'ASPP')
    module = MODELS.build(cfg)
    module.load_state_dict(state, strict=True)
    x = case.inputs['x']
    actual = {'eval': module.eval()(x), 'train': module.train()(x)}
    buffers = {f'train.{name}': value for name, value in module.state_dict().items()}
    return actual | buffers


def _losses(case: Case) -> dict[str, Tensor]:
    settings = {name: case.spec[name] for name in SETTINGS if name in case.spec}
    loss = MODELS.build(convert('mgd', settings, {}, 'train')[0])
    given = case.inputs
    mask = given['mix_mask']
    drawn = CutMixBoxes()(len(mask), tuple(mask.shape[-2:]), np.random.RandomState(case.spec['seed']))
    assert torch.equal(drawn, mask)
    learned = {name: given[f'{group}.stu'].requires_grad_() for name, group in
               dict(sup='sup_logits', unsup_mixed='unsup_mixed_logits', feat='feat').items()}
    views = {}
    for name in ('stu', *TEACHERS):
        label = mix(given[f'unsup0_logits.{name}'].argmax(1), given[f'unsup1_logits.{name}'].argmax(1), mask)
        views[name] = Views(given[f'sup_logits.{name}'], given[f'unsup_mixed_logits.{name}'], label,
                            given.get(f'feat.{name}'))
    losses = loss(views['stu'], {ours: views[name] for name, ours in TEACHERS.items()}, given['gt'])
    supervised = torch.nn.functional.cross_entropy(given['sup_logits.stu'], given['gt'],
                                                   ignore_index=case.spec.get('ignore_index', 255))
    total = supervised + sum(losses.values())
    total.backward()
    grid, nothing = loss.region.grid, torch.tensor(0.)  # a level with the weight 0 is left out
    return {
        'loss': total, 'loss_sup.stu': supervised,
        'loss_sup.tea1': losses['loss_sup_wide'], 'loss_sup.tea2': losses['loss_sup_deep'],
        'consist_u1': losses['loss_pixel_unsup_wide'], 'consist_u2': losses['loss_pixel_unsup_deep'],
        'consist_s1': losses['loss_pixel_sup_wide'], 'consist_s2': losses['loss_pixel_sup_deep'],
        'sem_loss': losses.get('loss_image', nothing), 'content_loss': losses.get('loss_region', nothing),
        'sim_stu': region_similarity(given['feat.stu'], grid),
        'sim_tea1': region_similarity(given['feat.tea1'], grid),
        **{f'grad.{name}_stu': torch.zeros_like(one) if one.grad is None else one.grad
           for name, one in learned.items()},
        **{f'pseudo_label.{name}': view.label for name, view in views.items()},
    }

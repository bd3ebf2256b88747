"""The Distiller under mixed precision, with branches of data, and with what losses keep of a teacher."""
from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmext.errors import UserError
from mmext.models.distillers.losses.guidance import cka
from mmext.registry import MODELS


class Stack(BaseModel):
    """Three convolutions and a classifier; notes its precision and what it is called with."""

    def __init__(self, width: int = 4, data_preprocessor: Any = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.convs = nn.ModuleList(nn.Conv2d(before, width, 3, padding=1) for before in (1, width, width))
        self.fc = nn.Linear(width, 3)
        self.calls: list[tuple[str, int]] = []
        self.dtypes: set[torch.dtype] = set()

    def extract_feat(self, inputs: Tensor) -> Tensor:
        for conv in self.convs:
            inputs = conv(inputs).relu()
            self.dtypes.add(inputs.dtype)
        return inputs

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        self.calls.append((mode, len(inputs)))
        logits = self.fc(self.extract_feat(inputs).mean((2, 3)))
        if mode == 'loss':
            return dict(loss_cls=nn.functional.cross_entropy(logits, data_samples))
        return logits


@pytest.fixture(autouse=True)
def _registered() -> Any:
    MODELS.register_module(module=Stack)
    yield
    MODELS._module_dict.pop('Stack')


LOSSES: dict[str, tuple[dict[str, Any], str]] = {
    'kd': (dict(type='mmext.KLDistillLoss', tau=2.0), 'fc'), 'pkd': (dict(type='mmext.PKDLoss'), 'convs.2'),
    'cwd': (dict(type='mmext.ChannelWiseDistillLoss'), 'convs.1'),
    'rkd': (dict(type='mmext.RelationalKDLoss'), 'fc'),
    'masked': (dict(type='mmext.MaskedGenerativeLoss', channels=4, mask_ratio=0.), 'convs.2'),
    'sp': (dict(type='mmext.BatchSimilarityLoss'), 'convs.2'),
    'ickd': (dict(type='mmext.InterChannelCorrelationLoss'), 'convs.2')}


def build(teacher: dict[str, Any] | None = None, **changes: Any) -> Any:
    torch.manual_seed(0)
    records, losses = {}, {}
    for name, (loss, module) in LOSSES.items():
        records[f's_{name}'] = dict(net='student', module=module)
        records[f't_{name}'] = dict(net='big', module=module)
        losses[f'loss_{name}'] = dict(loss=loss, pred=f's_{name}', target=f't_{name}')
    cfg = dict(type='mmext.Distiller', student=dict(type='mmext.Stack'), records=records, losses=losses,
               teachers=dict(big=dict(model=dict(type='mmext.Stack'), random=True, **(teacher or {}))))
    return MODELS.build({**cfg, **changes}).train()


def data(count: int = 6, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(count, 1, 8, 8, generator=generator),
            torch.randint(0, 3, (count, ), generator=generator))


def gradients(model: Any, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    sum(losses.values()).backward()
    return {name: one.grad for name, one in model.named_parameters()}


# ------------------------------------------------------------------------------- mixed precision


def test_losses_are_in_full_precision_under_autocast() -> None:
    model, plain = build(), build()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model(*data(), mode='loss')
    assert all(value.dtype == torch.float32 for name, value in losses.items() if name != 'loss_cls')
    assert torch.bfloat16 in model.student.dtypes and torch.bfloat16 in model.networks['big'].module.dtypes
    expected = plain(*data(), mode='loss')
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value.item(), rel=0.1, abs=0.02), name
    for name, grad in gradients(model, losses).items():
        assert grad is not None and grad.isfinite().all() and grad.dtype == torch.float32, name


@pytest.mark.parametrize('dtype, inside, outside', [
    ('fp32', torch.float32, torch.float32), ('bf16', torch.bfloat16, torch.bfloat16),
    (None, torch.bfloat16, torch.float32)])
def test_a_teacher_has_its_own_precision(dtype: str | None, inside: torch.dtype, outside: torch.dtype
                                         ) -> None:
    for amp, expected in ((True, inside), (False, outside)):
        model = build(dict(dtype=dtype))
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=amp):
            model(*data(), mode='loss')
        assert model.networks['big'].module.dtypes == {expected}


def test_an_amp_wrapper_trains_it() -> None:
    from mmengine.optim import OptimWrapper
    model = build()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    before = [one.clone() for one in model.parameters()]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model(*data(), mode='loss')
    total, logged = model.parse_losses(losses)
    wrapper.update_params(total)
    assert set(logged) == {'loss', *losses}
    assert all(not torch.equal(one, other) for one, other in zip(before, model.parameters()))


# ------------------------------------------------------------------------------ branches of data


def branches(**changes: Any) -> Any:
    """The task on branch 'labelled', distillation on 'unlabelled'."""
    return build(
        task_branch='labelled',
        records=dict(s=dict(net='student', module='convs.2', branch='unlabelled'),
                     t=dict(net='big', module='convs.2', branch='unlabelled')),
        losses=dict(loss_feat=dict(loss=dict(type='mmext.FeatureDistillLoss'), pred='s', target='t')),
        **changes)


def two() -> tuple[dict[str, Tensor], dict[str, Any]]:
    (labelled, labels), (unlabelled, _) = data(4), data(5, seed=2)
    return dict(labelled=labelled, unlabelled=unlabelled), dict(labelled=labels, unlabelled=None)


def test_each_branch_has_its_purpose() -> None:
    model, plain = branches(), build(losses={}, records={})
    inputs, samples = two()
    losses = model(inputs, samples, mode='loss')
    torch.testing.assert_close(losses['loss_cls'], plain(*data(4), mode='loss')['loss_cls'])
    mapped = []
    for net in (model.student, model.networks['big'].module):
        handle = net.convs[2].register_forward_hook(lambda _, args, output: mapped.append(output))
        net.extract_feat(inputs['unlabelled'])
        handle.remove()
    torch.testing.assert_close(losses['loss_feat'], nn.functional.mse_loss(*mapped))
    assert model.student.calls == [('loss', 4)]
    assert all(grad is not None for grad in gradients(model, losses).values())


def test_branches_that_are_not_there_are_named() -> None:
    inputs, samples = two()
    with pytest.raises(UserError, match="no branch 'labeled'; did you mean labelled"):
        _with_task('labeled')(inputs, samples, mode='loss')
    with pytest.raises(UserError, match="asks for branch 'unlabelled', but the data have no branches"):
        branches()(*data(), mode='loss')


def _with_task(name: str) -> Any:
    model = branches()
    model.task_branch = name
    return model


# --------------------------------------------------------------------- what a loss needs of a teacher


def guided(**teacher: Any) -> Any:
    return build(dict(early_stop=False, **teacher),
                 records=dict(s=dict(net='student', types=['Conv2d', 'Linear']),
                              t=dict(net='big', types=['Conv2d', 'Linear'])),
                 losses=dict(loss_g=dict(loss=dict(type='mmext.GuidanceLoss', drop_last=False), pred='s',
                                         target='t')))


def test_of_a_guide_only_matrices_outlive_its_layers() -> None:
    model, alive = guided(), []
    guide = model.networks['big']
    for conv in guide.module.convs:
        conv.register_forward_hook(lambda _, args, output: alive.append(weakref.ref(output)))
    kept = guide.run(data()[0], None, reduce=model._reducers('big', 6))['t']
    assert [one.shape for one in kept] == [(6, 6)] * 4
    assert len(alive) == 3 and not any(one() is not None for one in alive)


def test_steps_with_fewer_matrices_are_the_definition() -> None:
    model = guided()
    model.losses['loss_g'].mapping = {0: 2, 1: 2, 3: 0}
    images, labels = data()
    for step in range(3):
        layers: dict[str, list[Tensor]] = {'student': [], 'big': []}
        handles = [module.register_forward_hook(
            lambda _, args, output, kept=layers[net]: kept.append(output.detach()))
            for net, network in (('student', model.student), ('big', model.networks['big'].module))
            for module in (*network.convs, network.fc)]
        value = model(images, labels, mode='loss')['loss_g']
        for handle in handles:
            handle.remove()
        expected = sum(1 - cka(layers['student'][own], layers['big'][guide])
                       for own, guide in ((0, 2), (1, 2), (3, 0)))
        torch.testing.assert_close(value, expected, msg=f'step {step}')
    kept = model.networks['big'].run(images, None, reduce=model._reducers('big', 6))['t']
    assert [one.numel() for one in kept] == [36, 0, 36, 0], 'layers that nothing is compared with'


def test_two_losses_on_one_record_see_all_of_it() -> None:
    both = {f'loss_{name}': dict(loss=dict(type='mmext.GuidanceLoss', metric=name), pred='s', target='t')
            for name in ('cka', 'rsa')}
    records = dict(s=dict(net='student', types=['Conv2d']), t=dict(net='big', types=['Conv2d']))
    model = build(records=records, losses=both)
    single = {name: build(records=records, losses={name: both[name]}) for name in both}
    found = model(*data(), mode='loss')
    assert model._reducers('big', 6) == {}
    for name, other in single.items():
        assert set(other._reducers('big', 6)) == {'t'}
        torch.testing.assert_close(found[name], other(*data(), mode='loss')[name])

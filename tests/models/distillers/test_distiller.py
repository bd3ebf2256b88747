"""The Distiller: what it records, refuses, saves and forgets."""
from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmext.errors import UserError
from mmext.registry import MODELS


class Little(BaseModel):
    """Two blocks and a classifier, on 1 x 8 x 8 images."""

    def __init__(self, width: int = 4, classes: int = 3, drop: float = 0., inplace: bool = False,
                 data_preprocessor: Any = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.act = nn.ReLU(inplace=inplace)
        self.drop = nn.Dropout(drop)
        self.body = nn.Conv2d(width, width, 3, padding=1, stride=2)
        self.fc = nn.Linear(width, classes)
        self.seen = 0

    def extract_feat(self, inputs: Tensor) -> Tensor:
        return self.body(self.drop(self.act(self.stem(inputs))))

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        logits = self.fc(self.extract_feat(inputs).mean((2, 3)))
        self.seen += 1
        if mode == 'loss':
            return dict(loss_cls=nn.functional.cross_entropy(logits, data_samples), note='of classes')
        return logits


@pytest.fixture(autouse=True)
def _registered() -> Any:
    MODELS.register_module(module=Little)
    yield
    MODELS._module_dict.pop('Little')


def config(**changes: Any) -> dict[str, Any]:
    cfg: dict[str, Any] = dict(
        type='mmext.Distiller', student=dict(type='mmext.Little'),
        teachers=dict(big=dict(model=dict(type='mmext.Little', width=6, drop=0.5), random=True)),
        records=dict(s=dict(net='student', module='body'), t=dict(net='big', module='body')),
        connectors=dict(p=dict(
            input='s', layer=dict(type='mmext.ConvConnector', in_channels=4, out_channels=6))),
        losses=dict(loss_feat=dict(
            loss=dict(type='mmext.FeatureDistillLoss'), pred='p', target='t')))
    return {**cfg, **changes}


RECORDS = config()['records']


def build(**changes: Any) -> Any:
    torch.manual_seed(0)
    return MODELS.build(config(**changes)).train()


def images() -> tuple[Tensor, Tensor]:
    return torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 2, 0])


def total(losses: dict[str, Any]) -> Tensor:
    return losses['loss_cls'] + losses['loss_feat']


def step(model: Any) -> dict[str, Tensor]:
    return model(*images(), mode='loss')


def test_learns_from_both_and_saves_the_student() -> None:
    model = build()
    losses = step(model)
    assert set(losses) == {'loss_cls', 'loss_feat', 'note'}
    total(losses).backward()
    assert all(one.grad is not None for one in model.parameters())
    assert {key.split('.')[0] for key in model.state_dict()} == {'student', 'connectors'}
    plain = MODELS.build(dict(type='mmext.Little'))
    plain.load_state_dict(model.export_student(), strict=True)
    x, _ = images()
    assert torch.equal(plain.eval()(x), model.eval()(x, mode='predict'))


def test_teachers_are_frozen_and_in_eval_mode() -> None:
    model = build()
    first, second = step(model), step(model)
    assert torch.equal(first['loss_feat'], second['loss_feat'])  # its dropout of a half is off
    big = model.networks['big'].module
    assert not big.training and not any(one.requires_grad for one in big.parameters())


@pytest.mark.parametrize('stop', [True, False])
def test_an_early_stop_changes_nothing_but_the_work(stop: bool) -> None:
    teachers = dict(config()['teachers'])
    teachers['big'] = dict(teachers['big'], early_stop=stop)
    model, plain = build(teachers=teachers), build()
    values = [step(model)['loss_feat'] for _ in range(3)]
    assert all(torch.equal(value, step(plain)['loss_feat']) for value in values)
    assert model.networks['big'].module.seen == (1 if stop else 3)


def test_nothing_recorded_outlives_the_step() -> None:
    model, alive = build(), []
    for net in (model.student, model.networks['big'].module):
        net.body.register_forward_hook(lambda _, args, output: alive.append(weakref.ref(output)))
    losses = step(model)
    total(losses).backward()
    del losses
    gc.collect()
    assert len(alive) == 2 and not any(one() is not None for one in alive)


def test_globs_types_calls_and_two_teachers() -> None:
    one = dict(model=dict(type='mmext.Little'), random=True)
    model = build(
        teachers=dict(one=one, two=dict(one, dtype='bf16', call='extract_feat')), connectors={},
        records=dict(s=dict(net='student', types=['Conv2d']), s_fc=dict(net='student', module='fc', call=0),
                     a=dict(net='one', module='*o*y'), b=dict(net='two', types=['Conv2d']),
                     t_fc=dict(net='one', module='fc'), s_body=dict(net='student', module='bod?')),
        losses=dict(loss_a=dict(loss=dict(type='mmext.PKDLoss'), pred='s_body', target='a'),
                    loss_b=dict(loss=dict(type='mmext.ChannelWiseDistillLoss'), pred='s', target='b'),
                    loss_c=dict(loss=dict(type='mmext.KLDistillLoss'), pred='s_fc', target='t_fc')))
    assert all(value.isfinite() for name, value in step(model).items() if 'loss' in name)


def test_routing_sends_each_image_to_one_teacher() -> None:
    one = dict(model=dict(type='mmext.Little', width=6), random=True)
    both = dict(
        teachers=dict(one=one, two=one),
        records=dict(s=dict(net='student', module='body'), a=dict(net='one', module='body'),
                     b=dict(net='two', module='body')),
        losses={f'loss_{name}': dict(loss=dict(type='mmext.FeatureDistillLoss'), pred='p', target=name)
                for name in 'ab'})
    model = build(**both)
    model.router = lambda inputs, samples: torch.tensor([0, 1, 1, 1])
    x, labels = images()
    losses = model(x, labels, mode='loss')
    whole = build(**both)
    # Two equal teachers: what they teach on their images adds up to what one teaches on all.
    assert torch.allclose(losses['loss_a'] + losses['loss_b'], whole(x, labels, mode='loss')['loss_a'])


def test_a_loss_of_no_weight_runs_no_teacher_and_keeps_its_key() -> None:
    model = build()
    model.distilling = False
    losses = step(model)
    assert losses['loss_feat'] == 0 and model.networks['big'].module.seen == 0
    total(losses).backward()
    assert all(one.grad is not None for one in model.connectors.parameters())


class Sided(Little):
    """With a head that no loss of its own trains."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.side = nn.Conv2d(4, 6, 1)

    def extract_feat(self, inputs: Tensor) -> Tensor:
        self.side(found := super().extract_feat(inputs))
        return found


@pytest.mark.parametrize('task', [1.0, None])
def test_what_only_distillation_trains_has_a_gradient_at_weight_0(task: float | None) -> None:
    """DDP waits for every parameter, in the first iteration of a ramp and after the end too."""
    MODELS.register_module(module=Sided, force=True)
    ramp = dict(loss_feat=dict(loss=dict(type='mmext.FeatureDistillLoss'), pred='s', target='t',
                               schedule=dict(kind='linear', begin=0, end=5)))
    model = build(student=dict(type='mmext.Sided'), connectors={}, losses=ramp, task_loss=task,
                  records=dict(RECORDS, s=dict(net='student', module='side')))
    MODELS._module_dict.pop('Sided')
    losses = step(model)
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    missing = {name for name, one in model.named_parameters() if one.grad is None}
    assert missing == (set() if task else {'student.fc.weight', 'student.fc.bias'})
    assert losses['loss_feat'] == 0 and model.networks['big'].module.seen == 0


def test_an_input_is_recorded_before_its_module_changes_it() -> None:
    kept = dict(losses=dict(loss_x=dict(loss=dict(type='mmext.FeatureDistillLoss'), pred='s', target='t')),
                connectors={}, teachers=dict(big=dict(model=dict(type='mmext.Little'), random=True)))
    values = []
    for record in (dict(module='act', source='input', clone=True), dict(module='stem')):
        model = build(student=dict(type='mmext.Little', inplace='clone' in record), **kept,
                      records=dict(s=dict(net='student', **record), t=dict(net='big', module='stem')))
        values.append(step(model)['loss_x'])
    assert torch.equal(*values)
    model = build(student=dict(type='mmext.Little', inplace=True), **kept,
                  records=dict(s=dict(net='student', module='act', source='input'),
                               t=dict(net='big', module='stem')))
    with pytest.raises(UserError, match="'act' or one after it of student changed it in place"):
        step(model)


def test_without_a_task_only_records_teach() -> None:
    assert set(step(build(task_loss=None))) == {'loss_feat'}


FROM_ONE_CLASS = dict(net='big', module='fc')


def loss(kind: str, pred: str = 'p', target: str = 't', name: str = 'loss_x') -> dict[str, Any]:
    return dict(losses={name: dict(loss=dict(type=f'mmext.{kind}'), pred=pred, target=target)})


def student_record(**record: Any) -> dict[str, Any]:
    return dict(records={**RECORDS, 's': dict(net='student', **record)})


def teacher(**changes: Any) -> dict[str, Any]:
    return dict(teachers=dict(big={**dict(model=dict(type='mmext.Little'), random=True), **changes}))


BAD = {
    'module': (student_record(module='bodi'), "no module 'bodi'; did you mean body"),
    'type': (student_record(types=['Conv2']), 'no module of type Conv2; did you mean Conv2d'),
    'net': (dict(records={**RECORDS, 't': dict(net='bigg', module='body')}),
            "no net 'bigg'; did you mean big"),
    'key': (student_record(modul='x'), "unknown key 'modul'; did you mean module"),
    'target': (loss('PKDLoss', target='tt'), "target='tt' is not recorded"),
    'loss name': (loss('PKDLoss', name='feat'), "needs 'loss' in it"),
    'no weights': (teacher(random=False), "teacher 'big' has no checkpoint"),
    'call': (teacher(call='tensr'), 'did you mean tensor'),
}
STEP = {
    'shapes': ({'connectors': {}, **loss('PKDLoss', 's')},
               r"input='s', layer=dict\(type='mmext.ConvConnector', in_channels=4, out_channels=6"),
    'classes': ({**teacher(model=dict(type='mmext.Little', classes=5)), **loss('KLDistillLoss', 's'),
                 'connectors': {}, 'records': dict(s=dict(net='student', module='fc'), t=FROM_ONE_CLASS)},
                'is the teacher of other classes'),
    'connector': (dict(connectors=dict(p=dict(
        input='s', layer=dict(type='mmext.ConvConnector', in_channels=5, out_channels=6)))),
        "connector 'p': record 's' does not fit it"),
    'in place': ({'student': dict(type='mmext.Little', inplace=True), 'connectors': {},
                  **student_record(module='stem'), **loss('BatchSimilarityLoss', 's')},
                 "record 's': the module after 'stem' of student changed it in place"),
    'index': (student_record(module='body', index=1), "record 's': index=1"),
    'not a tensor': (student_record(module=''), "record 's': the output of '' in student is a str"),
    'never called': (student_record(module='data_preprocessor'),
                     "record 's': 'data_preprocessor' of student was not called"),
}


@pytest.mark.parametrize('name', BAD)
def test_wrong_configs_are_refused_at_once(name: str) -> None:
    changes, message = BAD[name]
    with pytest.raises(UserError, match=message):
        build(**changes)


@pytest.mark.parametrize('name', STEP)
def test_what_only_a_step_shows_is_refused_then(name: str) -> None:
    changes, message = STEP[name]
    with pytest.raises(UserError, match=message):
        step(build(**changes))


def test_a_loss_without_gradient_is_refused() -> None:
    model = build(connectors={}, losses=dict(
        loss_x=dict(loss=dict(type='mmext.BatchSimilarityLoss'), pred='s', target='t')))
    model.student.requires_grad_(False)
    with pytest.raises(UserError, match="'loss_x' has no gradient path: 's'"):
        step(model)


def test_a_teacher_without_the_recorded_part_is_refused(tmp_path: Path) -> None:
    state = MODELS.build(dict(type='mmext.Little', width=6)).state_dict()
    path = tmp_path / 'encoder.pth'

    def broken(dropped: str, strict: bool) -> dict[str, Any]:
        torch.save({key: value for key, value in state.items() if not key.startswith(dropped)}, path)
        return dict(big=dict(model=dict(type='mmext.Little', width=6), checkpoint=str(path), strict=strict))

    with pytest.raises(UserError, match="no weights for 'body', which record 't' needs"):
        build(teachers=broken('body', False)).init_weights()
    with pytest.raises(UserError, match='is not for this model'):
        build(teachers=broken('fc', True)).init_weights()
    build(teachers=broken('fc', False)).init_weights()
    # What runs before a record matters as much as the record: the first pass tells.
    with pytest.raises(UserError, match="no weights for 'stem.bias', which runs before record 't'"):
        step(build(teachers=broken('stem', False)))
    late = build(teachers=broken('fc', False))
    assert {'loss_cls', 'loss_feat'} <= set(step(late)) and {'loss_feat'} <= set(step(late))


def test_a_schedule_follows_the_iteration() -> None:
    from mmext.models.distillers.schedule import WeightSchedule
    ramp = WeightSchedule('linear', begin=10, end=20)
    assert [ramp.at(time) for time in (0, 10, 15, 20, 99)] == [0, 0, .5, 1, 1]
    assert WeightSchedule('cosine', end=4).at(2) == pytest.approx(.5)
    assert [WeightSchedule('step', end=4, start=1, stop=0).at(time) for time in (3, 4)] == [1, 0]
    with pytest.raises(UserError, match='after begin'):
        WeightSchedule(begin=5, end=5)

"""KD-CI-CAM against the authors' code: settings and weights through the converter, losses by Distiller."""
from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmext import hosts
from mmext.converters import convert
from mmext.models.distillers.kd_ci_cam.cam_to_box import CAMToBox
from mmext.registry import MODELS

from .cases import Case, cases

WRAPPERS = {512: 'CUB_VGG16', 768: 'CUB_InceptionV3_NonLocal', 1024: 'ImageNet_VGG16'}  # by width
NETS = {'student': 'student', 'cls': 'cls_teacher', 'loc': 'loc_teacher'}  # ours, the authors'


class ToyBackbone(nn.Module):
    """The authors' wrapper was recorded with this in the place of its VGG."""

    def __init__(self, channels: int = 8, out_channels: int = 512) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(3, channels, 4, 4), nn.Conv2d(channels, out_channels, 4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (F.leaky_relu(self.c2(F.leaky_relu(self.c1(x), 0.2)), 0.2), )


@pytest.fixture(autouse=True)
def _hosts() -> Iterator[None]:
    hosts.repair()
    yield


@pytest.mark.parametrize('case', cases('kd_ci_cam'))
def test_case(case: Case) -> None:
    case.check(_block(case) if 'in_dim' in case.args else _wrapper(case))


def _block(case: Case) -> dict[str, Tensor]:
    cfg, state = convert('kd_ci_cam', case.args, case.state({}), 'Self_Attn')
    module = MODELS.build(cfg).eval()
    module.load_state_dict(state, strict=True)
    return {'y': module(case.inputs['x'])}


def _state_of(case: Case, net: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A network's official state: of its toy backbone, and of the rest."""
    state = _under(f'{net}.', case.state({}))
    return _under('backbone.', state), {key: value for key, value in state.items()
                                        if not key.startswith('backbone.')}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _distiller(case: Case, **settings: float) -> nn.Module:
    """The case's distiller, with its weights.

    Args:
        case: The case.
        settings: Of the authors, in the place of the case's.
    """
    toys, states = {}, {}
    args = case.args | settings
    width = case.tensors['state.student.up_classifier.0.weight'].shape[1]
    constructor = WRAPPERS[width]
    for ours, theirs in NETS.items():
        toys[ours], rest = _state_of(case, theirs)
        target = 'distiller' if ours == 'student' else 'classifier'
        _, states[ours] = convert('kd_ci_cam', args, rest, constructor, target)
    cfg, _ = convert('kd_ci_cam', args, {}, constructor, 'distiller')

    def toy_backbone(net: str) -> ToyBackbone:
        weight = toys[net]['c2.weight']
        backbone = ToyBackbone(weight.shape[1], weight.shape[0])
        backbone.load_state_dict(toys[net], strict=True)
        return backbone

    cfg['student'].update(backbone=dict(type=ToyBackbone), data_preprocessor=None)
    cfg['teachers'] = {name: dict(one, model=dict(one['model'], backbone=dict(type=ToyBackbone)))
                       for name, one in cfg['teachers'].items()}
    model = MODELS.build(cfg)
    model.prepare_teachers()
    nets = {'student': model.student, **{name: one.module for name, one in model.networks.items()}}
    for name, net in nets.items():
        net.backbone = toy_backbone(name)
        state = {key.removeprefix('student.'): value for key, value in states[name].items()}
        net.load_state_dict(state | {f'backbone.{key}': value for key, value in toys[name].items()},
                            strict=True)
        net.requires_grad_(name == 'student')
    return model.train()


def _wrapper(case: Case) -> dict[str, Tensor]:
    model = _distiller(case)
    given = case.inputs
    images = next(value for name, value in given.items() if name.startswith('images'))
    images = F.interpolate(images, 2 * (case.args.get('crop_size', 224), ), mode='nearest')
    samples = [DataSample(metainfo=dict(route=int(flag) - 1, img_shape=tuple(images.shape[2:])))
               .set_gt_label(label) for flag, label in zip(given['flags'], given['label'])]
    head, student = model.student.head, model.student
    with torch.no_grad():
        found = head.branches(student.extract_feat(images))
        taught = {name: one.module.head.branches(one.module.extract_feat(images))
                  for name, one in model.networks.items()}
        loc = model.networks['loc'].module.head
        up_cam = head.cam(found.features, head.fc.weight)
        predicted = found.up_logits.argmax(1)
        chosen = up_cam[torch.arange(len(images)), predicted]
        actual = {
            'up_out': found.up_logits, 'up_cam': up_cam, 'down_out': found.down_logits,
            'down_cam': head.cam(found.down_features, head.fc.weight),
            'cam_combined': head.combined(found).flatten(1),
            'teacher_cls_down_out': taught['cls'].down_logits,
            'teacher_loc_down_cam': loc.cam(taught['loc'].down_features, loc.fc.weight)}
        if head.context is not None:
            actual['context_update'] = head.context.gathered(chosen, predicted, given['label'])
        own = head.localizer
        torch.testing.assert_close(own.combine(actual['down_cam'], found.down_logits).flatten(1),
                                   actual['cam_combined'], rtol=1e-3, atol=1e-3)
        for name in (name for name in case.outputs if name.startswith('rois_segthr')):
            to_box = CAMToBox(float(name.removeprefix('rois_segthr')), own.function, own.mean_num)
            topk = case.outputs[name].shape[1]
            boxes = to_box(head.combined(found), [tuple(images.shape[2:])] * len(images))
            actual[name] = boxes[:, None].expand(-1, topk, -1).to(case.outputs[name].dtype)

    losses = model(images, samples, mode='loss')
    total = sum(value for name, value in losses.items() if 'loss' in name)
    half = _distiller(case, kd_alpha=0.5, kd_fe_times=1.)(images, samples, mode='loss')  # no weight of zero
    actual.update(
        loss=total, loss_ce=2 * half['loss'], loss_cls_kd=2 * half['loss_cls_kd'],
        loss_loc_kd=2 * half['loss_loc_kd'])
    if head.context is not None:
        actual['mask_after_update'] = head.context.mask
    total.backward()
    for name in (name for name in case.outputs if name.startswith('grad.')):
        actual[name] = _gradient(model.student, name.removeprefix('grad.'))
    return actual


def _gradient(student: nn.Module, name: str) -> Tensor:
    ours = name.removeprefix('student.').replace('up_classifier.0', 'head.fc').replace(
        'mask2attention', 'head.context.mask2attention')
    return student.get_parameter(ours).grad

"""KD-CI-CAM on mmpretrain. Equality with the authors is in tests/parity."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.models import VGG, InceptionV3
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmext import hosts
from mmext.converters import ConversionReport, convert
from mmext.engine.meta import on_meta
from mmext.errors import UserError
from mmext.models.distillers.kd_ci_cam.cam_to_box import FUNCTIONS, CAMToBox
from mmext.models.distillers.kd_ci_cam.context_pool import ContextPool
from mmext.models.distillers.kd_ci_cam.losses import SigmoidMapLoss, TemperedKLLoss
from mmext.models.distillers.kd_ci_cam.non_local import NonLocalBlock, NonLocalInceptionV3, NonLocalVGG16
from mmext.models.distillers.kd_ci_cam.router import SampleRouter
from mmext.registry import MODELS
from tests.registry_wide.meta import build_on_meta, count

CONFIGS = Path(__file__).parents[3] / 'configs' / 'kd_ci_cam'


@pytest.fixture(autouse=True)
def _scope() -> Iterator[None]:
    hosts.repair()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def classifier(kind: str = 'ImageClassifier', head: dict | None = None, **more) -> dict:
    return dict(
        type=kind,
        backbone=dict(type='ResNet', depth=18, base_channels=8, num_stages=3, out_indices=(2, ),
                      strides=(1, 2, 2), dilations=(1, 1, 1)),
        head=dict(type='mmext.CICAMHead', num_classes=4, in_channels=32,
                  context=dict(size=4, update_rate=0.1)) | (head or {}), **more)


def samples(labels: list[int], routes: list[int] | None = None) -> list[DataSample]:
    found = [DataSample(metainfo=dict(img_shape=(64, 64))).set_gt_label(label) for label in labels]
    for sample, route in zip(found, routes or ()):
        sample.set_metainfo(dict(route=route))
    return found


def build(cfg: dict, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def total(losses: dict) -> Tensor:
    return sum(value for name, value in losses.items() if 'loss' in name)


def distiller(**more) -> nn.Module:
    cfg = Config.fromfile(CONFIGS / 'kd-ci-cam_vgg16_1xb6-100e_cub.py').model
    teachers = {name: dict(model=classifier(), random=True) for name in ('cls', 'loc')}
    return build({**cfg, 'student': classifier(head=dict(up_weight=0.)), 'teachers': teachers, **more})


# --------------------------------------------------------------------------------------- sizes and weights


def _block(channels: int) -> int:
    small = channels // 8
    return 2 * (channels * small + small) + 2 * (channels * channels + channels) + 2 * channels


def _head(classes: int, channels: int) -> int:
    return (channels * classes + classes) + (classes * channels + channels) + 2 * classes


VGG_CONVS = 14_714_688  # of VGG-16 without its classifier


@pytest.mark.parametrize(('config', 'expected'), [
    ('kd-ci-cam_vgg16_1xb6-100e_cub',
     VGG_CONVS + sum(map(_block, (128, 256, 512, 512))) + _head(200, 512)),
    ('kd-ci-cam_vgg16_1xb78-20e_in1k',
     VGG_CONVS + sum(map(_block, (256, 512, 512))) + 9 * 512 * 1024 + 9 * 1024 * 1024 + 2 * 1024
     + _head(1000, 1024)),
])
def test_parameters(config: str, expected: int) -> None:
    assert count(build_on_meta(Config.fromfile(CONFIGS / f'{config}.py'))) == expected


def _official(kind: str) -> dict[str, Tensor]:
    """Keys and shapes of the authors' files, from their code's module lists."""
    with on_meta():
        backbone = InceptionV3(num_classes=1000, aux_logits=True) if kind == 'inception' else VGG(16)
        blocks: dict[str, int] = {
            'cub': {'conv.10': 128, 'conv.18': 256, 'conv.26': 512, 'conv.33': 512},
            'imagenet': {'conv.17': 256, 'conv.25': 512, 'conv.32': 512},
            'inception': {'nonlocal_4': 192, 'nonlocal_5': 288, 'nonlocal_6': 768}}[kind]
        state = {}
        for name, channels in blocks.items():
            block = NonLocalBlock(channels)
            state |= {f'backbone.{name}.{key}': value for key, value in block.state_dict().items()}
    if kind == 'inception':
        state |= {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    else:
        at = {'cub': (0, 2, 5, 7, 11, 13, 15, 19, 21, 23, 27, 29, 31),
              'imagenet': (0, 2, 5, 7, 10, 12, 14, 18, 20, 22, 26, 28, 30)}[kind]
        convs = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
        for index, conv in zip(at, convs, strict=True):
            state |= {f'backbone.conv.{index}.{key}': value for key, value in conv.state_dict().items()}
    if kind == 'imagenet':
        for index, width in ((33, 512), (35, 1024)):
            state[f'backbone.conv.{index}.weight'] = torch.empty(1024, width, 3, 3)
            state[f'backbone.conv.{index}.bias'] = torch.empty(1024)
    classes, channels, side = {'cub': (200, 512, 14), 'imagenet': (1000, 1024, 14),
                               'inception': (200, 768, 17)}[kind]
    norm = {key: torch.zeros(classes) for key in ('weight', 'bias', 'running_mean', 'running_var')}
    state |= {f'mask_bn.{key}': value for key, value in norm.items()}
    state['mask_bn.num_batches_tracked'] = torch.zeros((), dtype=torch.int64)
    for name in ('up_classifier', 'down_classifier'):
        state[f'{name}.0.weight'] = torch.zeros(classes, channels)
        state[f'{name}.0.bias'] = torch.zeros(classes)
    state['mask2attention.weight'] = torch.empty(channels, classes, 1, 1)
    state['mask2attention.bias'] = torch.empty(channels)
    return state | {'mask': torch.zeros(classes, side, side)}


@pytest.mark.parametrize(('kind', 'constructor'), [
    ('cub', 'CUB_VGG16'), ('imagenet', 'ImageNet_VGG16'), ('inception', 'CUB_InceptionV3_NonLocal'),
    ('inception', 'CUB_InceptionV3_NonLocal_0702')])
@pytest.mark.parametrize('target', ['classifier', 'distiller'])
def test_released_files_convert(kind: str, constructor: str, target: str) -> None:
    state = _official(kind)
    cfg, converted = convert('kd_ci_cam', {}, state, constructor, target)
    with on_meta():
        wanted = MODELS.build(cfg).state_dict()
    assert set(wanted) == set(converted)
    assert all(wanted[key].shape == value.shape for key, value in converted.items())


def test_without_attention_there_is_no_pool() -> None:
    report = ConversionReport()
    settings = dict(attention=0, model_path='x.pth', aux_type='fore')  # the last two do not matter here
    cfg, converted = convert('kd_ci_cam', settings, _official('cub'), 'CUB_VGG16', report=report)
    assert cfg['head']['context'] is None and not any('context' in key for key in converted)
    assert 'mask2attention.weight' in dict(report.dropped)
    with on_meta():
        assert set(MODELS.build(cfg).state_dict()) == set(converted)


def test_conversion_names_what_is_missing() -> None:
    state = _official('cub')
    with pytest.raises(UserError, match='mask_train'):
        convert('kd_ci_cam', {}, {key: value for key, value in state.items() if key != 'mask'}, 'CUB_VGG16')
    with pytest.raises(UserError, match=r'down_classifier\.0\.weight differs'):
        convert('kd_ci_cam', {}, state | {'down_classifier.0.weight': torch.ones(200, 512)}, 'CUB_VGG16')
    with pytest.raises(UserError, match='kd_fe_loss=4'):
        convert('kd_ci_cam', dict(kd_fe_loss=4), {}, 'CUB_VGG16', 'distiller')
    with pytest.raises(UserError, match='update_rate'):
        convert('kd_ci_cam', dict(updat_rate=1), {}, 'CUB_VGG16')


@pytest.mark.parametrize('host', [VGG(16, with_last_pool=False), InceptionV3()], ids=['vgg', 'inception'])
def test_weights_of_the_host_are_all_used(host: nn.Module) -> None:
    ours = NonLocalVGG16() if isinstance(host, VGG) else NonLocalInceptionV3()
    state = host.state_dict()
    missing, _ = ours.load_state_dict(state, strict=False)
    assert missing and all('non_local' in key or 'nonlocal' in key for key in missing)


@pytest.mark.parametrize(('backbone', 'channels'), [
    (dict(type='mmext.NonLocalVGG16'), 512),
    (dict(type='mmext.NonLocalVGG16', non_local_stages=(), extra_channels=16), 16),
    (dict(type='mmext.NonLocalInceptionV3'), 768)])
def test_backbones_take_any_size(backbone: dict, channels: int) -> None:
    model = MODELS.build(backbone)
    model.eval()
    [found] = model(torch.rand(1, 3, 96, 80))
    assert found.shape[1] == channels == model.out_channels[-1]


def test_blocks_start_as_the_identity() -> None:
    block, x = NonLocalBlock(16), torch.rand(2, 16, 5, 7)
    assert torch.equal(block(x), x)
    model = NonLocalVGG16()
    model.init_weights()
    assert all(not block.bn.weight.any() for block in model.non_local.values())


# -------------------------------------------------------------------------------------------- the context


@settings(max_examples=20)
@given(st.integers(2, 6), st.integers(1, 5), st.integers(1, 4))
def test_the_outer_product_is_the_convolution(classes: int, channels: int, batch: int) -> None:
    pool = ContextPool(classes, channels, (3, 2))
    pool.mask.normal_()
    features, labels = torch.rand(batch, channels, 3, 2), torch.randint(classes, (batch, ))
    one_hot = torch.zeros(batch, classes, 3, 2)
    one_hot[torch.arange(batch), labels] = pool.mask[labels]
    torch.testing.assert_close(pool(features, labels), features * (1 + pool.mask2attention(one_hot)))


def test_the_pool_gathers_right_images_only() -> None:
    pool = ContextPool(3, 2, 2)
    maps = torch.arange(16.).view(4, 2, 2)
    found = pool.gathered(maps, torch.tensor([0, 1, 2, 0]), torch.tensor([0, 1, 1, 0]))
    torch.testing.assert_close(found, torch.stack([maps[0] + maps[3], maps[1], torch.zeros(2, 2)]))


def test_the_pool_fits_other_sizes() -> None:
    pool = ContextPool(3, 2, 4)
    pool.mask.fill_(2.)
    features = torch.rand(1, 2, 7, 5)
    assert pool(features, torch.tensor([1])).shape == features.shape
    assert pool.gathered(torch.rand(1, 7, 5), torch.tensor([1]), torch.tensor([1])).shape == (3, 4, 4)


def test_processes_add_up_their_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, together = ContextPool(3, 2, 4), ContextPool(3, 2, 4)
    maps = [torch.rand(3, 4, 4) for _ in range(2)]
    alone.update(maps[0] + maps[1])
    monkeypatch.setattr('torch.distributed.is_initialized', lambda: True)
    monkeypatch.setattr('torch.distributed.all_reduce', lambda tensor: tensor.add_(maps[1]))
    together.update(maps[0].clone())
    torch.testing.assert_close(alone.mask, together.mask)


def test_the_pool_learns_in_training_alone_and_is_saved() -> None:
    model = build(classifier())
    labels, images = [0, 1, 2, 3] * 2, torch.randn(8, 3, 64, 64)
    before = model.head.context.mask.clone()
    model.eval()
    model.loss(images, samples(labels))
    assert torch.equal(model.head.context.mask, before)
    model.train()
    for _ in range(3):
        with torch.no_grad():
            found = model(images).argmax(1).tolist()  # so that there are right images
        model.loss(images, samples(found))
    assert not torch.equal(model.head.context.mask, before)
    assert 'head.context.mask' in model.state_dict()


# -------------------------------------------------------------------------------------------- the boxes


@pytest.mark.parametrize('function', FUNCTIONS)
def test_combination_by_its_definition(function: str) -> None:
    to_box = CAMToBox(0.1, function, mean_num=3)
    cams, scores = torch.randn(2, 5, 4, 3), torch.randn(2, 5)
    for one, score, found in zip(cams, scores, to_box.combine(cams, scores), strict=True):
        ranked = [one[index] for index in score.argsort(descending=True)]
        last = {'sum_1': (0., 1., 2.), 'sum_2': (0., 2., 4.), 'mean': (1., 1., 1.)}.get(function)
        if function == 'linear':
            expected = sum(weight * cam for weight, cam in zip((1, .5, 0, -.5, -1), ranked))
        elif function == 'quadratic':
            expected = sum(-weight**2 * cam for weight, cam in zip((0, .25, .5, .75, 1), ranked))
        else:
            expected = ranked[0] - sum(weight * cam for weight, cam in zip(last, ranked[-3:])) / 3
        torch.testing.assert_close(found, expected - expected.min())


def test_maps_from_features_are_the_same() -> None:
    to_box = CAMToBox(function='linear')
    features, weight, scores = torch.randn(3, 6, 4, 5), torch.randn(7, 6), torch.randn(3, 7)
    cams = torch.einsum('kc,bchw->bkhw', weight, features)
    torch.testing.assert_close(to_box.combine_features(features, weight, scores),
                               to_box.combine(cams, scores))


def test_boxes() -> None:
    maps = torch.zeros(3, 8, 8)
    maps[0, 2:5, 1:7] = 1.
    maps[1, 0, 0] = maps[1, 4:7, 4:7] = 1.
    boxes = CAMToBox(0.5)(maps, [(8, 8), (8, 8), (8, 16)])
    assert boxes.tolist() == [[1, 2, 7, 5], [4, 4, 7, 7], [0, 0, 16, 8]]
    assert CAMToBox(0.5)(maps[:1], [(32, 16)]).tolist()[0][2] <= 16


def test_predictions() -> None:
    model = build(classifier()).eval()
    with torch.no_grad():
        found = model.predict(torch.randn(2, 3, 64, 48), [DataSample(metainfo=dict(img_shape=(64, 48)))] * 2)
    for sample in found:
        assert sample.pred_cam.shape == (4, 3) and sample.pred_cam.min() == 0
        left, top, right, bottom = sample.pred_box.tolist()
        assert 0 <= left < right <= 48 and 0 <= top < bottom <= 64
        assert sample.pred_score.sum().isclose(torch.tensor(1.))


# --------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize('aux', [(), ('fore', ), ('diff', 'aux'), ('back', ), ('fore', 'back')])
def test_teachers_train(aux: tuple[str, ...]) -> None:
    model = build(classifier('mmext.CICAMClassifier', aux_type=aux, head=dict(spa_weight=0.1)))
    losses = model.loss(torch.randn(4, 3, 64, 64), samples([0, 1, 2, 3]))
    assert set(losses) == {'loss', 'loss_up', 'loss_spa', *(f'loss_{kind}' for kind in aux)}
    total(losses).backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained.values())
    if 'back' in aux:
        assert losses['loss_back'] < 0


def test_the_students_losses_by_their_definition() -> None:
    model = distiller()
    images, labels, routes = torch.randn(5, 3, 64, 64), [0, 1, 2, 3, 0], [-1, 0, 1, 0, -1]
    with torch.no_grad():
        model.student(images)  # running statistics do not matter in training mode
        found = model.student.head.branches(model.student.extract_feat(images))
        taught = {name: one.module.head.branches(one.module.extract_feat(images))
                  for name, one in model.networks.items()}
        maps = [torch.einsum('kc,bchw->bkhw', head.fc.weight, one.down_features) for head, one in (
            (model.student.head, found), (model.networks['loc'].module.head, taught['loc']))]
    losses = model(images, samples(labels, routes), mode='loss')
    student, teacher = (one.down_logits[[1, 3]] / 15 for one in (found, taught['cls']))
    teacher = teacher.softmax(1)
    alignment = (teacher * (teacher.log() - student.softmax(1))).sum(1).mean()
    torch.testing.assert_close(losses['loss_cls_kd'].detach(), 0.8 * alignment)
    ours, theirs = ((one[2] / 15).sigmoid() for one in maps)
    torch.testing.assert_close(losses['loss_loc_kd'].detach(), 0.8 * (ours - theirs).square().mean())
    expected = nn.functional.cross_entropy(found.down_logits, torch.tensor(labels))
    torch.testing.assert_close(losses['loss'].detach(), 0.2 * expected)
    total(losses).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_each_teacher_sees_its_own_images() -> None:
    model = distiller()
    seen: dict[str, int] = {}
    for name, teacher in model.networks.items():
        teacher.module.backbone.register_forward_pre_hook(
            lambda _, args, name=name: seen.update({name: len(args[0])}))
    losses = model(torch.randn(4, 3, 64, 64), samples([0, 1, 2, 3], [0, 0, 0, -1]), mode='loss')
    assert seen == {'cls': 3} and losses['loss_loc_kd'] == 0
    assert all(key.startswith('student.') for key in model.state_dict())


def test_router_draws_evenly() -> None:
    torch.manual_seed(0)
    found = SampleRouter(draw=2)(None, [DataSample() for _ in range(600)])
    assert set(found.tolist()) == {-1, 0, 1}
    assert all(150 < (found == route).sum() < 250 for route in (-1, 0, 1))
    assert SampleRouter(draw=2)(None, samples([0, 0], [1, -1])).tolist() == [1, -1]


def test_loss_by_share_of_the_batch() -> None:
    images, marked = torch.randn(4, 3, 64, 64), samples([0, 1, 2, 3], [0, -1, -1, -1])
    router = dict(type='mmext.SampleRouter')
    found = [distiller(router=dict(router, group_mean=mean))(images, marked, mode='loss')['loss_cls_kd']
             for mean in (True, False)]
    torch.testing.assert_close(found[0], 4 * found[1])


def test_minima_of_the_losses() -> None:
    logits, maps = torch.randn(4, 6), torch.randn(2, 3, 4, 4)
    assert TemperedKLLoss(2., 'log_prob')(logits, logits).abs() < 1e-6
    assert TemperedKLLoss(2.)(logits, logits) < 0  # not a divergence
    for kind in ('l2', 'l1', 'smooth_l1'):
        assert SigmoidMapLoss(2., kind)(maps, maps) == 0 < SigmoidMapLoss(2., kind)(maps, -maps)


# -------------------------------------------------------------------------------------------- elsewhere


def test_drop_in_to_a_config_of_the_host() -> None:
    text = ("_base_ = ['mmpretrain::resnet/resnet18_8xb32_in1k.py']\n"
            "model = dict(backbone=dict(strides=(1, 2, 2, 1)), neck=None, head=dict(_delete_=True, "
            "type='mmext.CICAMHead', num_classes=1000, in_channels=512))")
    host = Config.fromstring(text, '.py')
    model = build(host.model)
    losses = model.loss(torch.randn(2, 3, 64, 64), samples([3, 7]))
    assert set(losses) == {'loss', 'loss_up'}
    total(losses).backward()
    found = model.eval().predict(torch.randn(1, 3, 224, 224))
    assert found[0].pred_cam.shape == (14, 14) and found[0].pred_box.shape == (4, )


@pytest.mark.parametrize(('cfg', 'message'), [
    (classifier(head=dict(localizer=dict(function='quadratc'))), 'quadratc.; did you mean quadratic'),
    (classifier(head=dict(localizer=dict(seg_thr=14))), r'seg_thr=14 must be in \[0, 1\)'),
    (classifier(head=dict(localizer=dict(mean_num=0))), 'mean_num=0'),
    (classifier(head=dict(context=dict(sise=3))), "context=.*'sise'"),
    (classifier(head=dict(context=dict(update_rate=0.))), 'update_rate=0.0'),
    (classifier(head=dict(up_weight=-1.)), 'up_weight=-1.0'),
    (classifier(head=dict(num_classes=1)), 'num_classes=1'),
    (classifier('mmext.CICAMClassifier', aux_type=('forre', )), "aux_type='forre'; did you mean fore"),
    (classifier('mmext.CICAMClassifier', aux_rate=-1.), 'aux_rate=-1.0'),
    (dict(type='mmext.NonLocalVGG16', non_local_stages=(1, 5)), r'non_local_stages=\(1, 5\)'),
    (dict(type='mmext.TemperedKLLoss', kl_input='probs'), "kl_input='probs'; did you mean prob"),
    (dict(type='mmext.TemperedKLLoss', tau=0), 'tau=0'),
    (dict(type='mmext.SigmoidMapLoss', kind='l3'), "kind='l3'"),
])
def test_bad_settings(cfg: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        MODELS.build(cfg)


def test_bad_input_while_running() -> None:
    images = torch.randn(2, 3, 64, 64)
    with pytest.raises(UserError, match=r'needs a map \(B, 8, h, w\).*\(2, 32, 4, 4\)'):
        build(classifier(head=dict(in_channels=8))).loss(images, samples([0, 1]))
    with pytest.raises(UserError, match='neck=None'):
        build(classifier(neck=dict(type='GlobalAveragePooling'))).loss(images, samples([0, 1]))
    with pytest.raises(UserError, match='mean_num=20, but there are 4 classes'):
        build(classifier(head=dict(localizer=dict(function='sum_1')))).eval().predict(images)
    with pytest.raises(UserError, match="no 'route': put mmext.SetRoute"):
        distiller()(images, samples([0, 1]), mode='loss')
    mixed = [DataSample().set_gt_score(torch.tensor([.5, .5, 0., 0.])) for _ in range(2)]
    with pytest.raises(UserError, match='Mixup'):
        build(classifier()).loss(images, mixed)
    with pytest.raises(UserError, match='draw=0'):
        SampleRouter(draw=0)

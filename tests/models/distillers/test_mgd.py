"""MGD: the distiller on mmseg, its data, its errors. Equality with the authors is in tests/parity."""
from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torchvision.models import mobilenet_v2

from mmext import hosts
from mmext.converters import convert
from mmext.datasets.semi_seg import SemiSegDataset
from mmext.engine.meta import on_meta
from mmext.errors import UserError
from mmext.models.distillers.mgd.cutmix import CutMixBoxes, mix
from mmext.models.distillers.mgd.losses import ImageSemanticLoss, RegionContentLoss, region_similarity
from mmext.models.distillers.mgd.networks import MultiGridMobileNetV2
from mmext.registry import MODELS

CONFIGS = Path(__file__).parents[3] / 'configs' / 'mgd'
ONE = dict(region_teacher='deep')  # a single teacher, called deep


@pytest.fixture(autouse=True)
def _scope() -> Iterator[None]:
    hosts.repair()
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def network(**decode_head) -> dict:
    norm = dict(type='BN')
    return dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 32), seg_pad_val=255),
        backbone=dict(type='mmext.MultiGridResNet', depth=18, stem_channels=8, base_channels=8,
                      norm_cfg=norm),
        decode_head=dict(dict(type='mmext.CPSDeepLabHead', in_channels=[8, 64], channels=8, low_channels=4,
                              dilation_rates=(1, 2, 3), num_classes=3, norm_cfg=norm), **decode_head))


def fcn(**decode_head) -> dict:
    """Another architecture, with dropout and one map."""
    return dict(network(), decode_head=dict(
        dict(type='FCNHead', in_channels=64, in_index=3, channels=6, num_convs=1, concat_input=False,
             num_classes=3, dropout_ratio=0.5, norm_cfg=dict(type='BN')), **decode_head))


def build(seed: int = 0, **settings):
    torch.manual_seed(seed)
    cfg = dict(type='mmext.MultiGranularityDistiller', student=network(), teachers=dict(
        wide=dict(model=fcn(), random=True), deep=dict(model=network(), random=True))) | settings
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def sample(label: bool) -> SegDataSample:
    result = SegDataSample(metainfo=dict(img_shape=(32, 32), ori_shape=(32, 32)))
    if label:
        result.gt_sem_seg = PixelData(data=torch.randint(0, 3, (1, 32, 32)))
    return result


def batch(seed: int = 0, images: int = 2) -> dict:
    torch.manual_seed(seed)
    np.random.seed(seed)
    branches = ('sup', 'unsup0', 'unsup1')
    return dict(inputs={name: [torch.rand(3, 32, 32) for _ in range(images)] for name in branches},
                data_samples={name: [sample(name == 'sup') for _ in range(images)] for name in branches})


def losses_of(model, data: dict) -> dict:
    return model(**model.data_preprocessor(data, True), mode='loss')


# ---------------------------------------------------------------------------------------- the losses


@given(st.integers(1, 5), st.integers(4, 40), st.integers(4, 40), st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_masks_are_binary_and_repeatable(count: int, height: int, width: int, seed: int) -> None:
    draw = CutMixBoxes()
    masks = draw(count, (height, width), np.random.RandomState(seed))
    assert masks.shape == (count, 1, height, width) and set(masks.unique().tolist()) <= {0., 1.}
    assert torch.equal(masks, draw(count, (height, width), np.random.RandomState(seed)))


def test_labels_mixed_after_argmax_are_those_of_mixed_logits() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 2, 5, 9, 9)
    mask = CutMixBoxes()(2, (9, 9), np.random.RandomState(0))
    logits = first * (1 - mask) + second * mask
    assert torch.equal(mix(first.argmax(1), second.argmax(1), mask), logits.argmax(1))


def test_equal_networks_have_no_distance() -> None:
    feature = torch.randn(2, 6, 9, 11)
    assert RegionContentLoss()(feature, feature).abs() < 1e-9
    assert ImageSemanticLoss()(feature, feature) == 0
    wider = torch.cat([feature, feature], 1)  # cosines do not see the scale or the width
    torch.testing.assert_close(region_similarity(3 * wider, (7, 7)), region_similarity(feature, (7, 7)))


def test_empty_regions_have_a_finite_gradient() -> None:
    feature = torch.zeros(1, 4, 7, 7, requires_grad=True)
    RegionContentLoss()(feature, torch.randn(1, 4, 7, 7)).backward()
    assert feature.grad.isfinite().all()


# -------------------------------------------------------------------------------------- the distiller


def test_losses_and_gradients_of_the_student_alone() -> None:
    model = build()
    losses = losses_of(model, batch())
    assert {'decode.loss_ce', 'loss_image', 'loss_region', 'loss_pixel_sup_wide', 'loss_pixel_sup_deep',
            'loss_pixel_unsup_wide', 'loss_pixel_unsup_deep'} <= set(losses)
    total, _ = model.parse_losses(losses)
    total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    for network in model.networks.values():
        assert not any(p.requires_grad or p.grad is not None for p in network.module.parameters())


def test_the_student_alone_is_in_the_state_dict() -> None:
    model = build()
    assert all(key.startswith(('student.', 'data_preprocessor.')) for key in model.state_dict())
    plain = MODELS.build(network())
    plain.load_state_dict({key.removeprefix('student.'): value for key, value in model.state_dict().items()
                           if key.startswith('student.')}, strict=True)
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(plain.eval()(image), model.eval()(image))


def test_teachers_do_not_change() -> None:
    model = build()
    before = {name: {key: value.clone() for key, value in net.module.state_dict().items()}
              for name, net in model.networks.items()}
    losses_of(model, batch())
    for name, net in model.networks.items():
        assert not net.module.training
        for key, value in net.module.state_dict().items():
            assert torch.equal(value, before[name][key]), key


def test_teachers_drift_in_train_mode_as_the_authors_do() -> None:
    model = build(teacher_mode='train')
    mean = model.networks['deep'].module.backbone.bn1.running_mean
    before = mean.clone()
    losses_of(model, batch())
    assert not torch.equal(mean, before)


def test_one_pass_of_a_teacher_gives_what_four_give() -> None:
    model = build()
    data = model.data_preprocessor(batch(), True)['inputs']
    mask = CutMixBoxes()(2, (32, 32), np.random.RandomState(0))
    mixed = mix(data['unsup0'], data['unsup1'], mask)
    teacher = model.networks['wide'].module
    views = model._taught(teacher, data['sup'], data['unsup0'], data['unsup1'], mixed, mask)
    logits, feature = model._logits(teacher, mixed)
    torch.testing.assert_close(views.mixed, logits)
    torch.testing.assert_close(views.feature, feature)
    torch.testing.assert_close(views.sup, model._logits(teacher, data['sup'])[0])


def test_nothing_is_kept_after_a_step() -> None:
    model = build()
    records: list[weakref.ref] = []
    model.student.decode_head.conv_seg.register_forward_hook(
        lambda module, inputs, output: records.append(weakref.ref(output)))
    total, _ = model.parse_losses(losses_of(model, batch()))
    total.backward()
    del total
    gc.collect()
    assert records and all(record() is None for record in records)


def test_teacher_from_a_file(tmp_path: Path) -> None:
    model = build()
    path = tmp_path / 'deep.pth'
    deep = model.networks['deep'].module
    torch.save(dict(state_dict=deep.state_dict()), path)
    other = build(seed=1, teachers=dict(deep=dict(model=network(), checkpoint=str(path))),
                  loss=ONE)
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(other.networks['deep'].module(image), deep(image))
    state = deep.state_dict()
    del state['decode_head.conv_seg.weight']
    torch.save(state, path)
    with pytest.raises(UserError, match=r"teacher 'deep'.*\n(.*\n)*.*decode_head.conv_seg.weight"):
        build(teachers=dict(deep=dict(model=network(), checkpoint=str(path))),
              loss=ONE)


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(teachers={}), 'at least one teacher'),
    (dict(teachers=dict(deep=dict(model=network())), loss=ONE), "'deep' has no checkpoint"),
    (dict(teachers=dict(deep=dict(modle=network())), loss=ONE), "unknown key 'modle'.*model"),
    (dict(loss=dict(image_teacher='dep')), "image_teacher='dep'.*deep"),
    (dict(teacher_mode='frozen'), "teacher_mode='frozen'"),
    (dict(cutmix=dict(n_boxes=0)), 'n_boxes=0'),
    (dict(cutmix=dict(prop_range=(0.5, 0.2))), 'prop_range'),
    (dict(student=network(num_classes=4)), "teacher 'wide' has 3 classes, the student 4"),
    (dict(student=network(num_classes=2, out_channels=1, loss_decode=dict(
        type='CrossEntropyLoss', use_sigmoid=True))), 'out_channels=2'),
])
def test_bad_settings(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**settings)


def test_bad_batches() -> None:
    model = build()
    with pytest.raises(UserError, match='no branch sup, unsup0, unsup1.*SemiSegDataset'):
        model(torch.rand(1, 3, 32, 32), [sample(True)], mode='loss')
    data = model.data_preprocessor(batch(), True)
    data['inputs']['unsup1'] = torch.rand(2, 3, 16, 32)
    with pytest.raises(UserError, match='unsup1'):
        model(**data, mode='loss')


def test_data_set_has_three_branches() -> None:
    def rows(name: str, count: int) -> list[dict]:
        return [dict(inputs=f'{name}{i}', data_samples=i) for i in range(count)]

    data = SemiSegDataset(rows('x', 2), rows('u', 5))
    assert len(data) == 5
    inputs = data[3]['inputs']
    assert inputs['sup'] == 'x1' and inputs['unsup0'] == 'u3' and inputs['unsup1'].startswith('u')
    with pytest.raises(UserError, match='unlabelled data set is empty'):
        SemiSegDataset(rows('x', 2), [])


# ----------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize(('constructor', 'backbone', 'whole'), [
    ('resnet18_deeplabv3plus', 11_195_744, 16_627_413),
    ('mobilev2_deeplabv3plus', 1_811_712, 5_760_133),
    ('resnet101_deeplabv3plus', 42_623_936, 59_468_085),
    ('wresnet34_deeplabv3plus', 66_834_240, 83_678_389)])
def test_published_sizes(constructor: str, backbone: int, whole: int) -> None:
    cfg, _ = convert('mgd', {}, {}, constructor)
    with on_meta():
        model = MODELS.build(cfg)
    assert sum(p.numel() for p in model.backbone.parameters()) == backbone
    assert sum(p.numel() for p in model.parameters()) == whole


@pytest.mark.parametrize('constructor', ['resnet18_deeplabv3plus', 'wresnet34_deeplabv3plus'])
def test_official_names(constructor: str) -> None:
    """The authors' names of the first branch become ours, all of them; other branches are left out."""
    cfg, _ = convert('mgd', {}, {}, constructor)
    with on_meta():
        ours = MODELS.build(cfg).state_dict()
    stem = {'stem.0.conv': 'conv1.0', 'stem.0.bn': 'conv1.1', 'stem.1.conv': 'conv1.3',
            'stem.1.bn': 'conv1.4', 'stem.2.conv': 'conv1.6', 'stem.2.bn': 'bn1'}
    official = {}
    for key, value in ours.items():
        name = key.replace('decode_head.conv_seg', 'classifier').replace('decode_head.', 'head.')
        for new, old in stem.items():
            name = name.replace(new, old)
        official[f'branch1.{name}'] = value
        official[f'branch2.{name}'] = value
    _, state = convert('mgd', {}, official, constructor)
    assert set(state) == set(ours)


def test_official_names_of_mobilenet() -> None:
    """torchvision's blocks, of which the authors' copy has the first eighteen, in their order."""
    cfg, _ = convert('mgd', {}, {}, 'mobilev2_deeplabv3plus')
    with on_meta():
        ours = MODELS.build(cfg).backbone.state_dict()
        theirs = mobilenet_v2(weights=None).features[:18].state_dict()
    official = {f'branch1.backbone.features.{key}': value for key, value in theirs.items()}
    official['branch1.backbone.classifier.1.bias'] = torch.zeros(1000)
    _, state = convert('mgd', {}, official, 'mobilev2_deeplabv3plus')
    assert [(key.removeprefix('backbone.'), value.shape) for key, value in state.items()] == [
        (key, value.shape) for key, value in ours.items()]


def test_the_last_blocks_of_mobilenet_are_dilated() -> None:
    model = MultiGridMobileNetV2(widen_factor=0.25)
    blocks = [*model.layer5, *model.layer6, *model.layer7]
    assert [block.conv[1].conv.dilation[0] for block in blocks] == [1, 1, 1, 1, 2, 4, 8]
    assert [tuple(x.shape[2:]) for x in model(torch.rand(1, 3, 64, 96))] == [(16, 24), (2, 3)]


def test_all_3x3_of_the_last_stage_are_dilated() -> None:
    model = MODELS.build(network())
    dilations = [conv.dilation for block in model.backbone.layer4 for conv in (block.conv1, block.conv2)]
    assert dilations == [(2, 2), (2, 2), (4, 4), (4, 4)]
    assert [tuple(x.shape[2:]) for x in model.backbone(torch.rand(1, 3, 64, 48))] == [
        (16, 12), (8, 6), (4, 3), (4, 3)]


def test_toy_config_learns_a_batch() -> None:
    cfg = Config.fromfile(CONFIGS / 'mgd_r18_toy.py').model
    for teacher in cfg.teachers.values():
        teacher.update(checkpoint=None, random=True)
        teacher.model = network(num_classes=9)
    cfg.loss = dict(lambda_sem=0., lambda_region=0.)
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    history = []
    for _ in range(8):
        losses = model(**model.data_preprocessor(batch(), True), mode='loss')
        total, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(losses['decode.loss_ce'].item())
    assert history[-1] < 0.8 * history[0]


@pytest.mark.parametrize('name', sorted(path.stem for path in CONFIGS.glob('mgd_*.py')))
def test_every_config_gets_its_branches_from_a_runner(name: str) -> None:
    """A Runner puts the top level's data preprocessor into the model, which knows no branches."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    if cfg.get('data_preprocessor'):
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    for one in cfg.model.teachers.values():
        one.update(checkpoint=None, random=True)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    assert type(model.data_preprocessor).__name__ == 'BranchDataPreprocessor'
    size = {'sup': 2, 'unsup0': 1, 'unsup1': 1}
    data = dict(inputs={branch: [torch.zeros(3, 64, 64, dtype=torch.uint8)] * count
                        for branch, count in size.items()},
                data_samples={branch: [SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, 64, 64).long()))
                                       for _ in range(count)] for branch, count in size.items()})
    done = model.data_preprocessor(data, True)
    assert {branch: len(value) for branch, value in done['inputs'].items()} == size
    assert float(done['inputs']['sup'].min()) < -1  # normalised

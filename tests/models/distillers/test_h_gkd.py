"""H-GKD against straightforward formulas, and what a user meets. No authors' code exists to be equal to."""
from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import DefaultScope
from mmpretrain.models.utils.sparse_modules import SparseHelper
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmext import hosts
from mmext.errors import UserError
from mmext.models.distillers.h_gkd.losses import MaskedMapLoss
from mmext.models.distillers.h_gkd.masks import read_masks, sparse, spread, with_masks
from mmext.registry import MODELS

NORM = dict(type='SparseBatchNorm2d')
HEAD = dict(type='SparKPretrainHead', loss=dict(type='PixelReconstructionLoss', criterion='L2'))


@pytest.fixture(autouse=True)
def _scope() -> Iterator[None]:
    hosts.repair()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def resnet(kind: str = 'SparseResNet', **more) -> dict:
    norm = NORM if kind.startswith('Sparse') else dict(type='BN')
    return dict(dict(type=kind, depth=18, stem_channels=8, base_channels=8, out_indices=(0, 1, 2, 3),
                     norm_cfg=norm), **more)


def student(**changes) -> dict:
    return {**dict(backbone=resnet(), input_size=64, mask_ratio=0.5, enc_dec_norm_cfg=NORM,
                   enc_dec_norm_dim=64, neck=dict(type='SparKLightDecoder', feature_dim=32,
                                              upsample_ratio=32, norm_cfg=dict(type='BN'))), **changes}


def teacher(**changes) -> dict:
    arch = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
    return {**dict(type='mmext.HGKDTeacher', backbone=dict(arch=arch, img_size=64, patch_size=16),
                   neck=dict(decoder_embed_dim=16, decoder_depth=3, decoder_num_heads=2), decoder_layer=2),
            **changes}


def build(seed: int = 0, **changes):
    torch.manual_seed(seed)
    model = MODELS.build({**dict(type='mmext.HGKD', student=student(),
                                 teacher=dict(model=teacher(), random=True)), **changes})
    model.init_weights()
    generator = torch.Generator().manual_seed(5)
    for parameter in [*model.parameters(), *model.networks['teacher'].module.parameters()]:
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return model.train()


def images(count: int = 3, size: int = 64) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def masks(count: int = 3, cells: int = 2) -> Tensor:
    """Half of the cells masked, other ones in each image."""
    noise = torch.rand(count, cells * cells, generator=torch.Generator().manual_seed(2))
    return (noise.argsort(1).argsort(1) >= cells * cells // 2).view(count, cells, cells)


# ----------------------------------------------------------------- the method, written out step by step


def at(visible: Tensor, x: Tensor) -> Tensor:
    """The visible places of a map, ``(B, H, W)``, by asking for every pixel which cell it lies in."""
    size, cells = x.shape[2], visible.shape[1]
    cell = torch.arange(size) * cells // size
    return visible[:, cell][:, :, cell]


def norm(x: Tensor, layer: nn.Module, visible: Tensor) -> Tensor:
    """Batch norm of the visible places alone; 0 elsewhere."""
    places = at(visible, x)
    inside = x.permute(0, 2, 3, 1)[places]
    mean, variance = inside.mean(0), inside.var(0, unbiased=False)
    scaled = (x.permute(0, 2, 3, 1) - mean) / (variance + layer.eps).sqrt() * layer.weight + layer.bias
    return (scaled * places.unsqueeze(-1)).permute(0, 3, 1, 2)


def conv(x: Tensor, layer: nn.Conv2d, visible: Tensor) -> Tensor:
    y = F.conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding)
    return y * at(visible, y).unsqueeze(1)


def encode(backbone, x: Tensor, visible: Tensor) -> list[Tensor]:
    """ResNet-18, each step followed by the mask."""
    x = norm(conv(x * at(visible, x).unsqueeze(1), backbone.conv1, visible), backbone.norm1, visible).relu()
    x = F.max_pool2d(x, 3, 2, 1)
    x = x * at(visible, x).unsqueeze(1)
    maps = []
    for index in range(1, 5):
        for block in getattr(backbone, f'layer{index}'):
            y = norm(conv(x, block.conv1, visible), block.norm1, visible).relu()
            y = norm(conv(y, block.conv2, visible), block.norm2, visible)
            if block.downsample is not None:
                x = norm(conv(x, block.downsample[0], visible), block.downsample[1], visible)
            x = (x + y).relu()
        maps.append(x)
    return maps


def dense_norm(x: Tensor, layer: nn.Module) -> Tensor:
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    return (x - mean) / (variance + layer.eps).sqrt() * layer.weight.view(1, -1, 1, 1) \
        + layer.bias.view(1, -1, 1, 1)


def decode(net, maps: list[Tensor], visible: Tensor, levels: int) -> list[Tensor]:
    """What enters each level of the decoder, and what leaves the last."""
    x: Tensor | float = 0.
    found = []
    for level in range(levels + 1):
        if level < len(net.mask_tokens):
            own = maps[3 - level]
            places = at(visible, own).unsqueeze(1)
            filled = norm(own, net.enc_dec_norms[level], visible) * places + net.mask_tokens[level] * ~places
            projector = net.enc_dec_projectors[level]
            x = x + F.conv2d(filled, projector.weight, projector.bias, padding=projector.padding)
        found.append(x)
        if level < levels:
            up, block = net.neck.decoder[level].upsample, net.neck.decoder[level].conv_blocks[0]
            x = F.conv_transpose2d(x, up.weight, up.bias, stride=2, padding=1)
            x = dense_norm(F.conv2d(x, block.conv1.weight, padding=1), block.norm1).clamp(0, 6)
            x = dense_norm(F.conv2d(x, block.conv2.weight, padding=1), block.norm2)
    return found


def infer(net, x: Tensor, masked: Tensor) -> Tensor:
    """The teacher: an image at a time, its visible patches in reading order."""
    found = []
    for image, mask in zip(x, masked):
        cell = torch.arange(4) // 2
        hidden = mask[cell][:, cell].flatten()
        patches = net.backbone.patch_embed(image[None])[0][0] + net.backbone.pos_embed[0, 1:]
        first = net.backbone.cls_token[0] + net.backbone.pos_embed[0, :1]
        tokens = torch.cat([first, patches[~hidden]])[None]
        for layer in net.backbone.layers:
            tokens = layer(tokens)
        tokens = net.neck.decoder_embed(net.backbone.ln1(tokens))[0]
        whole = net.neck.mask_token[0].expand(16, -1).clone()
        whole[~hidden] = tokens[1:]
        whole = torch.cat([tokens[:1], whole])[None] + net.neck.decoder_pos_embed
        for block in net.neck.decoder_blocks[:2]:
            whole = block(whole)
        found.append(whole[0, 1:].t().reshape(-1, 4, 4))
    return torch.stack(found)


def distance(pred: Tensor, target: Tensor, kind: str) -> Tensor:
    """Per place; the target is standardised over its channels."""
    mean = target.mean(1, keepdim=True)
    target = (target - mean) / ((target - mean).pow(2).mean(1, keepdim=True) + 1e-6).sqrt()
    gap = (pred - target).abs()
    terms = gap**2 if kind == 'l2' else torch.where(gap < 2, gap**2 / 4, gap - 1)
    return terms.mean(1)


@pytest.mark.parametrize('settings_', [
    dict(), dict(kind='l2', supervise='all'), dict(supervise='all'), dict(kind='l2')])
@pytest.mark.parametrize('feature', ['unet', 'pooled'])
def test_loss_and_gradients_are_the_formulas(feature: str, settings_: dict) -> None:
    model = build(student=student(feature=feature), loss=settings_).double()
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    masked = masks()
    x = images().double()
    found = model(x, with_masks(None, masked), mode='loss')
    assert set(found) == {'loss_hidden'}
    net = model.student
    levels = 1 if feature == 'unet' else 5
    states = decode(net, encode(net.backbone, x, ~masked), ~masked, levels)
    own = states[1] if feature == 'unet' else F.avg_pool2d(states[5], 16)
    layer = model.connectors['to_teacher'].layers[0]
    pred = F.conv2d(own, layer.weight[..., None, None], layer.bias)
    target = infer(model.networks['teacher'].module, x, masked).detach()
    terms = distance(pred, target, settings_.get('kind', 'smooth_l1'))
    expected = terms.mean()
    if settings_.get('supervise', 'masked') == 'masked':
        expected = terms[at(masked, terms[:, None])].mean()
    torch.testing.assert_close(found['loss_hidden'].double(), expected, atol=1e-6, rtol=1e-6)
    ours = torch.autograd.grad(found['loss_hidden'], list(trained.values()))
    theirs = torch.autograd.grad(expected, list(trained.values()))
    for name, one, other in zip(trained, ours, theirs):  # every parameter has one: nothing is left over
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4,
                                   msg=lambda text, name=name: f'{name}: {text}')


def test_the_pixel_loss_is_sparks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(student=student(head=HEAD), rec_weight=0.5)
    masked = masks()
    losses = model(images(), with_masks(None, masked), mode='loss')
    host = MODELS.build(dict(student(head=HEAD), type='SparK'))
    host.load_state_dict(build(student=student(head=HEAD), rec_weight=0.5).export_student(), strict=True)
    monkeypatch.setattr(host, 'mask', lambda *_: ~masked.unsqueeze(1))
    monkeypatch.setattr(SparseHelper, '_cur_active', None)  # the host leaves its mask there
    torch.testing.assert_close(losses['loss'], 0.5 * host.train().loss(images(), [])['loss'])
    sum(losses.values()).backward()
    assert all(one.grad is not None for one in model.parameters() if one.requires_grad)


def test_nothing_behind_the_mask_is_seen() -> None:
    model, samples = build(), with_masks(None, masks())
    hidden = spread(masks(), (64, 64), '').unsqueeze(1)
    first = model(images(), samples, mode='loss')['loss_hidden']
    second = model(torch.where(hidden, torch.full_like(images(), 7.), images()), samples, mode='loss')
    torch.testing.assert_close(first, second['loss_hidden'])
    inputs = images().requires_grad_()
    model(inputs, samples, mode='loss')['loss_hidden'].backward()
    assert (inputs.grad * hidden == 0).all() and (inputs.grad * ~hidden).abs().sum() > 0


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([(3, 1, 1), (3, 2, 1), (7, 2, 3), (1, 1, 0), (5, 1, 2)]), st.integers(0, 99))
def test_sparse_convolution_is_the_dense_one_where_visible(shape: tuple[int, int, int], seed: int) -> None:
    from mmpretrain.models.utils.sparse_modules import SparseConv2d
    torch.manual_seed(seed)
    layer = SparseConv2d(2, 3, shape[0], shape[1], shape[2])
    visible = torch.rand(2, 1, 2, 2) > 0.5
    x = torch.randn(2, 2, 16, 16) * at(visible[:, 0], torch.zeros(1, 1, 16, 16)).unsqueeze(1)
    with sparse(visible):
        found = layer(x)
    assert SparseHelper._cur_active is None
    expected = F.conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding)
    places = at(visible[:, 0], expected).unsqueeze(1).expand_as(expected)
    assert torch.equal(found[places], expected[places]) and (found[~places] == 0).all()


def test_masks_are_drawn_anew_and_shared() -> None:
    model = build()
    samples = [DataSample().set_gt_label(index) for index in range(3)]
    seen: list[tuple[Tensor, int]] = []
    for module in (model.student, model.networks['teacher'].module):
        module.register_forward_pre_hook(lambda _, args: seen.append(read_masks(args[1], 'x')))
    for _ in range(2):
        model(images(), samples, mode='loss')
    assert all(count == 2 for _, count in seen)  # of 4 cells
    assert torch.equal(seen[0][0], seen[1][0]) and torch.equal(seen[2][0], seen[3][0])
    assert not torch.equal(seen[0][0], seen[2][0])
    assert all('mask' not in sample for sample in samples)  # the caller's own are left alone
    torch.manual_seed(9)
    first = model(images(), samples, mode='loss')['loss_hidden']
    torch.manual_seed(9)
    assert torch.equal(first, model(images(), samples, mode='loss')['loss_hidden'])


def test_a_teacher_of_the_whole_image() -> None:
    """The spec's other target: tokens of the encoder, without a mask."""
    arch = teacher()['backbone']['arch']
    whole = dict(type='ImageClassifier', backbone=dict(
        type='VisionTransformer', arch=arch, img_size=64, patch_size=16, out_type='featmap',
        final_norm=False))
    model = build(teacher=dict(model=whole, random=True, call='extract_feat'))
    seen = {}
    model.networks['teacher'].module.backbone.register_forward_hook(
        lambda _, args, output: seen.update(x=args[0], y=output[0]))
    samples = with_masks(None, masks())
    loss = model(images(), samples, mode='loss')['loss_hidden']
    assert torch.equal(seen['x'], images()) and seen['y'].shape == (3, 24, 4, 4)
    own = model.student(images(), samples)
    pred = model.connectors['to_teacher'](own)
    torch.testing.assert_close(loss, MaskedMapLoss()(pred, seen['y'], dict(data_samples=samples)))


# ------------------------------------------------------------------------------------ what a user meets


def test_the_student_alone_is_saved_and_its_backbone_is_the_hosts() -> None:
    model = build()
    assert {key.split('.')[0] for key in model.state_dict()} == {'student', 'connectors'}
    assert not any('decoder_blocks' in key for key in model.state_dict())
    state = {key.removeprefix('backbone.'): value for key, value in model.export_student().items()
             if key.startswith('backbone.')}
    dense = MODELS.build(resnet('ResNet'))
    dense.load_state_dict(state, strict=True)
    dense.eval(), model.eval()
    ran: list[int] = []
    model.networks['teacher'].module.register_forward_hook(lambda *_: ran.append(1))
    for ours, theirs in zip(model(images(), mode='tensor'), dense(images())):
        torch.testing.assert_close(ours, theirs)
    assert not ran


def test_only_what_the_map_needs_is_there() -> None:
    short, whole = build().student, build(student=student(head=HEAD), rec_weight=1.).student
    assert len(short.neck.decoder) == 1 and len(short.enc_dec_norms) == 2 and len(whole.neck.decoder) == 5
    for stride, levels in ((32, 0), (8, 2)):
        net = MODELS.build(dict(student(stride=stride), type='mmext.HGKDStudent'))
        found = net.train()(images(), with_masks(None, masks()))
        assert found.shape == (3, 32 // 2**levels, 64 // stride, 64 // stride)
        assert len(net.neck.decoder) == levels


def test_it_learns() -> None:
    model = build()
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], 3e-3)
    history = []
    for _ in range(25):
        loss = model(images(), with_masks(None, masks()), mode='loss')['loss_hidden']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.7 * history[0]


def test_nothing_outlives_the_step() -> None:
    model, alive = build(), []
    model.student.hidden.register_forward_hook(lambda _, args, output: alive.append(weakref.ref(output)))
    losses = model(images(), mode='loss')
    losses['loss_hidden'].backward()
    del losses
    gc.collect()
    assert len(alive) == 1 and alive[0]() is None and SparseHelper._cur_active is None


def test_another_backbone_of_the_host() -> None:
    backbone = dict(type='SparseConvNeXt', arch=dict(depths=[1] * 4, channels=[8, 16, 32, 64]),
                    out_indices=(0, 1, 2, 3), gap_before_output=False)
    model = build(student=student(backbone=backbone))
    model(images(), mode='loss')['loss_hidden'].backward()
    assert all(one.grad is not None for one in model.student.parameters())


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(rec_weight=-1.), 'rec_weight=-1.0'),
    (dict(rec_weight=1.), 'the student has no head'),
    (dict(student=student(head=HEAD)), 'the student has a head'),
    (dict(student=student(feature='unett')), "feature='unett'; did you mean unet"),
    (dict(student=student(stride=12)), 'stride=12 is none of the decoder: choose from 32, 16, 8, 4'),
    (dict(student=student(input_size=70)), 'input_size=70 is not a multiple.* nearest is 64'),
    (dict(student=student(mask_ratio=1.)), 'mask_ratio=1.0 leaves 0 of 4'),
    (dict(student=student(backbone=resnet(with_cp=True))), 'with_cp=True'),
    (dict(student=student(stride=8)),
     'teacher has 4x4 patches of images of 64x64, the student a map of 8x8 of images of 64x64'),
    (dict(student=dict(type='ImageClassifier', backbone=resnet('ResNet'))), 'type="mmext.HGKDStudent"'),
    (dict(loss=dict(supervise='mask')), "supervise='mask'; did you mean masked"),
    (dict(loss=dict(kind='l1')), "kind='l1'"),
    (dict(projector='mpl'), "projector='mpl'; did you mean mlp"),
    (dict(teacher=dict(model=teacher())), 'has no checkpoint'),
    (dict(teacher=dict(model=teacher(decoder_layer=9), random=True)), 'decoder_layer=9'),
    (dict(teacher=dict(model=dict(type='ImageClassifier', backbone=resnet('ResNet')), random=True)),
     'does not tell its width: give teacher.channels'),
])
def test_wrong_configs_are_refused_at_once(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**changes)


@pytest.mark.parametrize(('sizes', 'message'), [
    ([(2, 2), (4, 4), (2, 2)], 'one shape'), ([(2, 2), (2, 2)], 'as many cells visible')])
def test_wrong_masks_are_refused(sizes: list, message: str) -> None:
    samples = []
    for index, size in enumerate(sizes):
        mask = torch.zeros(size, dtype=torch.bool)
        mask.view(-1)[:index + 1] = True
        samples += with_masks(None, mask[None])
    with pytest.raises(UserError, match=message):
        build()(images(len(sizes)), samples, mode='loss')


def test_wrong_images_and_missing_masks_are_named() -> None:
    with pytest.raises(UserError, match='images of 96x96, but img_size is 64x64'):
        build()(images(size=96), mode='loss')
    with pytest.raises(UserError, match='images of 64x32'):
        build()(images()[..., :32], mode='tensor')
    with pytest.raises(UserError, match="HGKDTeacher: the data samples have no 'mask'"):
        MODELS.build(teacher())(images())
    with pytest.raises(UserError, match='nothing is masked'):
        build()(images(), with_masks(None, torch.zeros(3, 2, 2, dtype=torch.bool)), mode='loss')


def test_an_encoder_without_its_decoder_is_refused(tmp_path: Path) -> None:
    state = MODELS.build(teacher()).state_dict()
    path = tmp_path / 'mae.pth'
    torch.save({key: value for key, value in state.items() if key.startswith('backbone.')}, path)
    with pytest.raises(UserError, match=r"teacher 'teacher'(.|\n)*neck"):
        build(teacher=dict(model=teacher(), checkpoint=str(path)))
    torch.save(state, path)
    build(teacher=dict(model=teacher(), checkpoint=str(path)))

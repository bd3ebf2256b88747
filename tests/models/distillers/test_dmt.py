"""DMT against straightforward formulas, and what a user meets. No authors' code exists to be equal to."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from torch import Tensor

from mmext import hosts
from mmext.errors import UserError
from mmext.registry import MODELS

STATS = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


@pytest.fixture(autouse=True)
def _scope() -> Iterator[None]:
    hosts.repair()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def vit(width: int, patch: int = 8, kind: str = 'VisionTransformer', image: int = 32, **more) -> dict:
    arch = dict(embed_dims=width, num_layers=2, num_heads=2, feedforward_channels=2 * width)
    return dict(type='ImageClassifier', data_preprocessor=dict(STATS, to_rgb=True), backbone=dict(
        type=kind, arch=arch, img_size=image, patch_size=patch, **more))


def teachers(*widths: int, **more) -> dict:
    return {f't{index}': dict(model=vit(width, out_type='raw'), random=True, **more)
            for index, width in enumerate(widths)}


def build(seed: int = 0, **changes):
    torch.manual_seed(seed)
    model = MODELS.build({**dict(type='mmext.DMT', student=vit(16, out_type='raw'),
                                 teachers=teachers(24, 24, 32)), **changes})
    model.init_weights()
    for index, network in enumerate(model.networks.values()):  # equal random weights would hide mix-ups
        generator = torch.Generator().manual_seed(10 + index)
        for parameter in network.module.parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.train()


def images(height: int = 32, width: int = 32) -> Tensor:
    return torch.randn(3, 3, height, width, generator=torch.Generator().manual_seed(1))


# ----------------------------------------------------------------- the method, written out step by step


def blocks(network, x: Tensor) -> Tensor:
    """Output of the last block of a ViT whose image has its own size, before the final norm."""
    backbone = network.backbone
    patches = backbone.patch_embed(x)[0]
    tokens = torch.cat([backbone.cls_token.expand(len(x), -1, -1), patches], 1) + backbone.pos_embed
    for layer in backbone.layers:
        tokens = layer(tokens)
    return tokens


def standardised(tokens: Tensor) -> Tensor:
    mean = tokens.mean(-1, keepdim=True)
    variance = (tokens - mean).pow(2).mean(-1, keepdim=True)
    return (tokens - mean) / (variance + 1e-6).sqrt()


def distance(pred: Tensor, target: Tensor, beta: float = 2.0) -> Tensor:
    gap = (pred - target).abs()
    return torch.where(gap < beta, gap**2 / (2 * beta), gap - beta / 2).mean(-1)


def relation(tokens: Tensor) -> Tensor:
    return torch.stack([(one @ one.t() / one.shape[1]**0.5).softmax(1) for one in tokens])


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    ours, theirs = relation(student), relation(teacher)
    return (theirs * (theirs.log() - ours.log())).sum(-1)


def expected(model, x: Tensor, fusion: str, relation_weight: float) -> dict[str, Tensor]:
    """Losses by name, as the specification has them."""
    student = model.student.backbone.ln1(blocks(model.student, x))
    targets = [standardised(blocks(network.module, x)).detach() for network in model.networks.values()]
    count = len(targets)
    shares = [torch.full((len(x), student.shape[1] - 1), 1 / count) for _ in targets]
    if fusion == 'agreement':
        rows = [relation(target[:, 1:]) for target in targets]
        score = torch.stack([torch.stack([
            F.cosine_similarity(rows[k], rows[other], dim=-1) for other in range(count) if other != k
        ]).mean(0) for k in range(count)])
        shares = list(score.softmax(0))
    losses = {}
    for k, (name, target) in enumerate(zip(model.networks, targets)):
        whole = torch.cat([shares[k].mean(1, keepdim=True), shares[k]], 1)
        pred = model.connectors[f'to_{name}'].layers(student)
        factor = 1.
        if fusion == 'uncertainty':
            factor = (-model.fusion.log_variance[k]).exp()
        losses[f'loss_{name}_token'] = (distance(pred, target) * whole).mean() * factor
        if relation_weight:
            rows = divergence(student[:, 1:], target[:, 1:])
            losses[f'loss_{name}_relation'] = (rows * shares[k]).mean() * relation_weight * factor
    if fusion == 'uncertainty':
        losses['loss_uncertainty'] = model.fusion.log_variance.sum() / count
    return losses


@pytest.mark.parametrize('projector', ['linear', 'mlp'])
@pytest.mark.parametrize('fusion', ['sum', 'uncertainty', 'agreement'])
def test_losses_and_gradients_are_the_formulas(fusion: str, projector: str) -> None:
    model = build(fusion=fusion, projector=projector, relation_weight=0.3)
    if fusion == 'uncertainty':
        model.fusion.log_variance.data = torch.tensor([0.2, -0.4, 0.7])
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    found = model(images(), mode='loss')
    formula = expected(model, images(), fusion, 0.3)
    assert set(found) == set(formula)
    for name in formula:
        torch.testing.assert_close(found[name], formula[name])
    ours = torch.autograd.grad(sum(found.values()), trained)
    theirs = torch.autograd.grad(sum(formula.values()), trained)
    for one, other in zip(ours, theirs):  # every parameter has one: DDP has nothing to search for
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_weights_of_teachers_and_of_the_class_token() -> None:
    plain = build()(images(), mode='loss')
    weighed = build(teachers={name: dict(one, weight=index) for index, (name, one)
                              in enumerate(teachers(24, 24, 32).items())})(images(), mode='loss')
    for index in range(3):
        torch.testing.assert_close(weighed[f'loss_t{index}_token'], plain[f'loss_t{index}_token'] * index)
    parts = [build(token_loss=dict(cls_weight=cls, patch_weight=1 - cls))(images(), mode='loss')
             for cls in (0, 1)]
    torch.testing.assert_close(parts[0]['loss_t0_token'] + parts[1]['loss_t0_token'], plain['loss_t0_token'])


@pytest.mark.parametrize('relation_weight', [0., 1.])
def test_a_masked_student_is_compared_where_it_sees(relation_weight: float) -> None:
    student = vit(16, kind='MAEViT', mask_ratio=0.75)
    model = build(student=student, relation_weight=relation_weight, teachers=teachers(24, 24))
    torch.manual_seed(3)
    found = model(images(), mode='loss')
    torch.manual_seed(3)
    tokens, mask, _ = model.student.backbone(images())
    assert tokens.shape[1] == 1 + 4
    targets = [standardised(blocks(network.module, images())) for network in model.networks.values()]
    for k, target in enumerate(targets):
        pred = model.connectors[f'to_t{k}'].layers(tokens)
        total, rows = [], []
        for image in range(3):
            places = _visible(3)[image]  # MAEViT keeps the patches in shuffled order
            seen = [0, *(1 + place for place in places)]
            total.append(distance(pred[image], target[image, seen]))
            rows.append(divergence(tokens[image:image + 1, 1:], target[image:image + 1, seen[1:]]))
            assert (mask[image, places] == 0).all()
        torch.testing.assert_close(found[f'loss_t{k}_token'], torch.stack(total).mean() / 2)
        if relation_weight:
            torch.testing.assert_close(found[f'loss_t{k}_relation'], torch.stack(rows).mean() / 2)


def _visible(seed: int) -> list[list[int]]:
    torch.manual_seed(seed)
    noise = torch.rand(3, 16)
    return [sorted(range(16), key=lambda place: noise[image, place].item())[:4] for image in range(3)]


def test_teachers_of_another_grid_are_resampled() -> None:
    model = build(teachers=dict(t=dict(model=vit(24, patch=4, out_type='raw'), random=True)))
    target = standardised(blocks(model.networks['t'].module, images()))
    maps = target[:, 1:].transpose(1, 2).reshape(3, 24, 8, 8)
    maps = F.interpolate(maps, (4, 4), mode='bilinear', align_corners=False)
    target = torch.cat([target[:, :1], maps.flatten(2).transpose(1, 2)], 1)
    pred = model.connectors['to_t'].layers(model.student.backbone.ln1(blocks(model.student, images())))
    torch.testing.assert_close(model(images(), mode='loss')['loss_t_token'], distance(pred, target).mean())


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([(32, 32), (48, 32), (32, 64), (64, 40)]),
       st.sampled_from(['sum', 'agreement', 'uncertainty']))
def test_any_size_of_image(size: tuple[int, int], fusion: str) -> None:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        losses = build(fusion=fusion, relation_weight=1.)(images(*size), mode='loss')
    assert all(value.isfinite() for value in losses.values())


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(0, 99))
def test_shares_of_agreement_add_up_and_favour_the_majority(count: int, patches: int, seed: int) -> None:
    from mmext.models.distillers.dmt.fusion import TeacherFusion
    torch.manual_seed(seed)
    tokens = [torch.randn(2, patches, 6) for _ in range(count)]
    shares = TeacherFusion.agreement(tokens)
    assert shares.shape == (count, 2, patches)
    torch.testing.assert_close(shares.sum(0), torch.ones(2, patches))
    if count > 1:
        odd = TeacherFusion.agreement([tokens[0], tokens[0].clone(), tokens[1]])
        torch.testing.assert_close(odd[0], odd[1])
        assert (odd[2] <= odd[0] + 1e-6).all()


# ------------------------------------------------------------------------------------ what a user meets


def test_the_student_alone_is_saved_exported_and_predicts(tmp_path: Path) -> None:
    student = vit(16)
    student['head'] = dict(type='VisionTransformerClsHead', num_classes=4, in_channels=16)
    model = build(student=student, task_loss=1.0)
    samples = [DataSample().set_gt_label(label) for label in (0, 1, 2)]
    losses = model(images(), samples, mode='loss')
    assert {'loss', 'loss_t0_token'} <= set(losses)
    assert {key.split('.')[0] for key in model.state_dict()} == {'student', 'connectors'}
    plain = MODELS.build(student)
    plain.load_state_dict(model.export_student(), strict=True)  # the host's class, all keys
    seen = []
    for network in model.networks.values():
        network.module.backbone.register_forward_hook(lambda *_: seen.append(1))
    ours = model.eval()(images(), [DataSample() for _ in range(3)], mode='predict')
    theirs = plain.eval()(images(), [DataSample() for _ in range(3)], mode='predict')
    assert not seen and all(torch.equal(one.pred_score, other.pred_score) for one, other in zip(ours, theirs))


@pytest.mark.parametrize(('student', 'channels'), [
    (dict(type='SwinTransformer', arch=dict(embed_dims=8, depths=[1] * 4, num_heads=[1] * 4), img_size=32,
          window_size=2, out_indices=(1, ), pad_small_map=True), 16),
    (dict(type='ResNet', depth=18, base_channels=8, stem_channels=8), 64)])
def test_other_backbones_of_the_host(student: dict, channels: int) -> None:
    model = build(student=dict(type='ImageClassifier', backbone=student), student_channels=channels,
                  relation_weight=1., fusion='agreement')
    losses = model(images(), mode='loss')
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.connectors.parameters())
    with pytest.raises(UserError, match='does not tell its width: give student_channels='):
        build(student=dict(type='ImageClassifier', backbone=student))


def test_a_teacher_with_its_own_normalisation() -> None:
    other = dict(teachers(24)['t0'], own_preprocessor=True)
    other['model'] = dict(other['model'], data_preprocessor=dict(mean=[0., 10., 20.], std=[1., 2., 4.],
                                                                 to_rgb=False))
    model, plain = build(teachers=dict(t=other)), build(teachers=dict(t=teachers(24)['t0']))
    pixels = images() * 50 + 100
    rgb = (pixels - torch.tensor(STATS['mean']).view(3, 1, 1)) / torch.tensor(STATS['std']).view(3, 1, 1)
    bgr = pixels.flip(1) - torch.tensor([0., 10., 20.]).view(3, 1, 1)
    bgr = bgr / torch.tensor([1., 2., 4.]).view(3, 1, 1)
    seen = {}
    for name, one in dict(model=model, plain=plain).items():
        one.networks['t'].module.backbone.patch_embed.register_forward_pre_hook(
            lambda _, args, name=name: seen.update({name: args[0]}))
        one(rgb, mode='loss')
    torch.testing.assert_close(seen['model'], bgr)
    assert torch.equal(seen['plain'], rgb)


def test_it_learns() -> None:
    model = build(fusion='agreement', relation_weight=1.)
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], 3e-3)
    history = []
    for _ in range(25):
        loss = sum(model(images(), mode='loss').values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.75 * history[0]


def test_switched_off_it_keeps_its_keys_and_its_teachers_rest() -> None:
    model = build(fusion='uncertainty', relation_weight=1.)
    on = set(model(images(), mode='loss'))
    model.distilling = False
    off = model(images(), mode='loss')
    assert set(off) == on and all(value == 0 for value in off.values())


@pytest.mark.parametrize(('changes', 'message'), [
    (dict(fusion='agrement'), "fusion='agrement'; did you mean agreement"),
    (dict(projector='conv'), "projector='conv'.*choose from linear, mlp"),
    (dict(teachers={}), 'teachers is empty'),
    (dict(relation_weight=-1), 'relation_weight=-1'),
    (dict(teachers=teachers(24, weight=-1)), "'t0' has weight=-1"),
    (dict(teachers=teachers(24, weigth=1)), "unknown key 'weigth'"),
    (dict(teachers=teachers(24, channels=25)), "channels=25, but teacher 't0' has 24"),
    (dict(teachers=teachers(24, tokens='backbone.layers.7')), "no module 'backbone.layers.7'"),
    (dict(teachers=dict(t=dict(model=vit(24)))), "teacher 't' has no checkpoint"),
    (dict(teachers=dict(t=dict(model=dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18)),
                               random=True))), "teacher 't' has no backbone.layers: give tokens='PATH'"),
    (dict(token_loss=dict(cls_weight=0, patch_weight=0)), 'nor both 0'),
    (dict(token_loss=dict(betta=1)), 'betta'),
])
def test_wrong_configs_are_refused_at_once(changes: dict, message: str) -> None:
    with pytest.raises((UserError, TypeError), match=message):
        build(**changes)


def test_a_wrong_number_of_extra_tokens_is_named() -> None:
    model = build(teachers=teachers(24, extra_tokens=4))
    with pytest.raises(UserError, match=r'17 tokens without their 4 extra ones make no grid.*extra_tokens'):
        model(images(), mode='loss')


def test_a_teacher_file_without_blocks_is_refused(tmp_path: Path) -> None:
    state = MODELS.build(vit(24, out_type='raw')).state_dict()
    path = tmp_path / 'half.pth'
    torch.save({key: value for key, value in state.items() if 'layers.1' not in key}, path)
    with pytest.raises(UserError, match=r"teacher 't'(.|\n)*not in the file: +backbone\.layers"):
        build(teachers=dict(t=dict(model=vit(24, out_type='raw'), checkpoint=str(path))))

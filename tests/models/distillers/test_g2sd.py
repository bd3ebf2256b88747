"""G2SD: both stages on mmpretrain. Equality with the authors is in tests/parity."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample

from mmext import hosts
from mmext.converters import ConversionReport, convert
from mmext.errors import UserError
from mmext.models.distillers.g2sd.losses import HardLabelLoss, NKDLoss, PixelKLLoss, QKVRelationLoss
from mmext.registry import MODELS

CONFIGS = Path(__file__).parents[3] / 'configs' / 'g2sd'


@pytest.fixture(autouse=True)
def _scope() -> Iterator[None]:
    hosts.repair()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def autoencoder(width: int, depth: int, **settings) -> dict:
    arch = dict(embed_dims=width, num_layers=2, num_heads=2, feedforward_channels=2 * width)
    return dict(backbone=dict(arch=arch, img_size=32, patch_size=8),
                neck=dict(decoder_embed_dim=width // 2, decoder_depth=depth, decoder_num_heads=2), **settings)


def teacher(**settings) -> dict:
    return dict(type='mmext.HiddenMAE', **autoencoder(32, 3, **(dict(decoder_layer=2) | settings)))


def build(seed: int = 0, student: dict | None = None, **settings):
    torch.manual_seed(seed)
    student = dict(autoencoder(16, 2), decoder_channels=16) | (student or {})
    model = MODELS.build(dict(type='mmext.G2SDPretrain', student=student)
                         | (dict(teacher=dict(model=teacher(), random=True)) | settings))
    model.init_weights()
    return model.train()


def test_stage_one_learns() -> None:
    model = build()
    images = torch.randn(4, 3, 32, 32)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, 3e-3)
    history = []
    for _ in range(30):
        losses = model(images, mode='loss')
        assert set(losses) == {'loss_decoder'}
        optimizer.zero_grad()
        losses['loss_decoder'].backward()
        assert all(p.grad is not None for p in trained)  # DDP has nothing to search for
        optimizer.step()
        history.append(losses['loss_decoder'].item())
    assert history[-1] < 0.7 * history[0]


def test_teacher_and_student_see_the_same_patches() -> None:
    model = build()
    images, noise = torch.randn(2, 3, 32, 32), torch.rand(2, 16)
    ours = model.student.hidden(images, noise)
    theirs = model.networks['teacher'].module.hidden(images, noise)
    assert torch.equal(ours.mask, theirs.mask) and ours.mask.sum() == 2 * 12
    assert ours.decoder.shape == (2, 17, 8) and theirs.decoder.shape == (2, 17, 16)
    kept = noise.argsort(1)[:, :4]
    assert (ours.mask.gather(1, kept) == 0).all()


@pytest.mark.parametrize('supervise', ['all', 'masked'])
def test_encoder_term(supervise: str) -> None:
    model = build(student=dict(encoder_channels=32, supervise=supervise), encoder_loss_weight=0.5)
    losses = model(torch.randn(2, 3, 32, 32), mode='loss')
    assert set(losses) == {'loss_decoder', 'loss_encoder'}
    sum(losses.values()).backward()
    assert model.student.encoder_mlp.fc1.weight.grad is not None


def test_the_teacher_is_not_in_the_state_dict_and_stops_early() -> None:
    model = build()
    assert all(key.startswith('student.') for key in model.state_dict())
    network = model.networks['teacher'].module
    ran: list[int] = []
    for index, block in enumerate(network.neck.decoder_blocks):
        block.register_forward_hook(lambda *args, index=index: ran.append(index))
    model(torch.randn(1, 3, 32, 32), mode='loss')
    assert ran == [0, 1]  # the third block is not needed


def test_a_teacher_without_decoder_is_refused(tmp_path: Path) -> None:
    state = MODELS.build(teacher()).state_dict()
    path = tmp_path / 'mae.pth'
    torch.save(state, path)
    build(teacher=dict(model=teacher(), checkpoint=str(path)))
    torch.save({key: value for key, value in state.items() if key.startswith('backbone.')}, path)
    with pytest.raises(UserError, match=r"teacher 'teacher'.*\n(.*\n)*.*neck"):
        build(teacher=dict(model=teacher(), checkpoint=str(path)))


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(student=dict(decoder_channels=12)), 'decoder_channels=12, but the teacher has 16'),
    (dict(encoder_loss_weight=1.), 'encoder_channels=None, but the teacher has 32'),
    (dict(student=dict(supervise='visible')), "supervise='visible'"),
    (dict(teacher=dict(model=teacher())), 'no checkpoint'),
    (dict(teacher=dict(model=teacher(decoder_layer=4), random=True)), 'decoder_layer=4.*3 blocks'),
])
def test_bad_settings(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**settings)


def test_stage_one_weights_start_stage_two(tmp_path: Path) -> None:
    stage_one = build()
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=stage_one.state_dict()), path)
    model = MODELS.build(dict(
        type='ImageClassifier',
        backbone=dict(type='mmext.DistTokenViT', arch=autoencoder(16, 2)['backbone']['arch'], img_size=32,
                      patch_size=8, init_cfg=dict(type='Pretrained', checkpoint=str(path),
                                                  prefix='student.backbone.')),
        head=dict(type='mmext.DistTokenClsHead', num_classes=3, in_channels=16)))
    model.init_weights()
    for key, value in stage_one.student.backbone.state_dict().items():
        torch.testing.assert_close(model.backbone.state_dict()[key], value)


def test_stage_two_on_the_common_distiller() -> None:
    cfg = Config.fromfile(CONFIGS / 'vit_g2sd_toy.py').model
    cfg.teachers.base.update(checkpoint=None, random=True)
    cfg.student.backbone.init_cfg = None  # stage 1 is not trained here
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    model.train()
    images = torch.randn(4, 3, 128, 128)
    samples = [DataSample().set_gt_label(label) for label in (0, 1, 2, 3)]
    losses = model(images, samples, mode='loss')
    assert {'loss', 'loss_dist'} <= set(losses)
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    head = model.student.head.layers
    assert head.head.weight.grad.abs().sum() > 0 and head.head_dist.weight.grad.abs().sum() > 0
    with torch.no_grad():
        tokens = model.student.extract_feat(images)
        found = model.networks['base'].module(images).argmax(1)
        expected = 0.5 * torch.nn.functional.cross_entropy(head.head_dist(tokens[0][1]), found)
    torch.testing.assert_close(losses['loss_dist'].detach(), expected)


# ---------------------------------------------------------------------------------------- the losses


def test_minima_of_the_losses() -> None:
    logits = torch.randn(4, 6)
    assert HardLabelLoss()(50 * logits, logits) < 0.2
    assert PixelKLLoss()(logits[..., None, None], logits[..., None, None]).abs() < 1e-6
    parts = [torch.randn(2, 5, 8) for _ in range(3)]
    assert QKVRelationLoss(relation_heads=2)([parts], [parts]).abs() < 1e-6
    label = logits.argmax(1)
    pred = logits.clone().requires_grad_()
    NKDLoss()(pred, logits, label).backward()
    assert pred.grad.isfinite().all()


def _by_config(loss: dict, path: str, **other: Any) -> Any:
    """A ViT that learns from a wider one, the records being outputs of ``path``."""
    def vit(width: int) -> dict[str, Any]:
        return dict(
            type='ImageClassifier', backbone=dict(
                type='VisionTransformer', img_size=32, patch_size=16, arch=dict(
                    embed_dims=width, num_layers=2, num_heads=2, feedforward_channels=16)),
            head=dict(type='LinearClsHead', num_classes=3, in_channels=width))

    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(dict(
            type='mmext.Distiller', student=vit(8),
            teachers=dict(big=dict(model=vit(16), random=True, call='tensor')), student_call='tensor',
            records=dict(s=dict(net='student', module=path), t=dict(net='big', module=path)),
            losses=dict(loss_x=dict(loss=loss, pred='s', target='t')), task_loss=None, **other)).train()


@pytest.mark.parametrize(('loss', 'path'), [
    (dict(type='mmext.QKVRelationLoss', relation_heads=2), 'backbone.layers.*.attn.qkv'),
    (dict(type='mmext.NKDLoss'), 'head.fc'),
    (dict(type='mmext.ChannelDistributionLoss', student_channels=8, teacher_channels=16),
     'backbone.patch_embed.projection')])
def test_every_loss_by_config(loss: dict, path: str) -> None:
    model = _by_config(loss, path)
    model.init_weights()
    samples = [DataSample().set_gt_label(index) for index in range(2)]
    value = model(torch.rand(2, 3, 32, 32), samples, mode='loss')['loss_x']
    value.backward()
    assert value.isfinite() and any(bool(one.grad.any()) for one in model.student.parameters()
                                    if one.grad is not None)


def test_nkd_takes_the_greater_part_of_mixed_labels() -> None:
    pred, target = torch.randn(2, 2, 3).unbind()
    mixed = [DataSample().set_gt_score(torch.tensor(one)) for one in ([.7, .3, 0.], [0., .2, .8])]
    assert torch.equal(NKDLoss()(pred, target, context=dict(data_samples=mixed)),
                       NKDLoss()(pred, target, torch.tensor([0, 2])))
    with pytest.raises(UserError, match='gt_label'):
        NKDLoss()(pred, target, context=dict(data_samples=[DataSample()] * 2))


def test_losses_name_what_does_not_fit() -> None:
    with pytest.raises(UserError, match='student_channels'):
        PixelKLLoss()(torch.rand(1, 3, 4, 4), torch.rand(1, 5, 4, 4))
    parts = [torch.randn(2, 5, 9) for _ in range(3)]
    with pytest.raises(UserError, match='relation_heads=2'):
        QKVRelationLoss(relation_heads=2)([parts], [parts])
    with pytest.raises(UserError, match="reduction='sums'; did you mean sum"):
        PixelKLLoss(reduction='sums')


def test_reductions_of_the_pixel_loss() -> None:
    ours, theirs = torch.randn(2, 3, 4, 5, 6).unbind()
    whole = PixelKLLoss(reduction='none', tau=2.)(ours, theirs)
    assert whole.shape == ours.shape
    for name, expected in (('mean', whole.mean()), ('sum', whole.sum()), ('batchmean', whole.sum() / 3)):
        torch.testing.assert_close(PixelKLLoss(reduction=name, tau=2.)(ours, theirs), expected)


@pytest.mark.parametrize('pooled', [True, False])
def test_the_finetuned_teacher_converts(pooled: bool) -> None:
    """The authors' plain ViT: the mean of the patches through ``fc_norm``, or the class token."""
    args = dict(img_size=16, patch_size=8, in_chans=1, embed_dim=8, depth=1, num_heads=2, num_classes=3,
                mlp_ratio=2., attn_drop_rate=.1, global_pool=pooled)
    shapes = dict(cls_token=(1, 1, 8), pos_embed=(1, 5, 8))
    shapes |= {'patch_embed.proj.weight': (8, 1, 8, 8), 'patch_embed.proj.bias': (8, )}
    linears = {'blocks.0.attn.qkv': (24, 8), 'blocks.0.attn.proj': (8, 8), 'blocks.0.mlp.fc1': (16, 8),
               'blocks.0.mlp.fc2': (8, 16), 'head': (3, 8)}
    for name in ('blocks.0.norm1', 'blocks.0.norm2', 'fc_norm' if pooled else 'norm'):
        linears[name] = (8, )
    for name, shape in linears.items():
        shapes |= {f'{name}.weight': shape, f'{name}.bias': shape[:1]}
    official = {name: torch.randn(shape) for name, shape in shapes.items()}
    report = ConversionReport()
    cfg, state = convert('g2sd', args, official, 'VisionTransformer', report=report)
    assert ('head.weight', 'head.fc.weight') in report.renamed
    model = MODELS.build(cfg).eval()
    model.load_state_dict(state, strict=True)

    images = torch.randn(2, 1, 16, 16)
    tokens = model.backbone.patch_embed(images)[0]
    tokens = torch.cat([official['cls_token'].expand(2, -1, -1), tokens], 1) + official['pos_embed']
    tokens = model.backbone.layers[0](tokens)
    norm, token = ('fc_norm', tokens[:, 1:].mean(1)) if pooled else ('norm', tokens[:, 0])
    token = F.layer_norm(token, (8, ), official[f'{norm}.weight'], official[f'{norm}.bias'], 1e-6)
    torch.testing.assert_close(model(images), F.linear(token, official['head.weight'], official['head.bias']))


def test_a_student_that_the_authors_cannot_run() -> None:
    with pytest.raises(UserError, match='global_pool=True'):
        convert('g2sd', dict(distillation=True, global_pool=True), {}, 'VisionTransformer')
    assert not convert('g2sd', dict(distillation=True, use_distoken=False), {},
                       'VisionTransformer')[0]['head']['average']

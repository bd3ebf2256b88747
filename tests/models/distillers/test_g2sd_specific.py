"""G2SD's stage 2 in mmseg and mmdet: its losses against their formulas, its configs, its start."""
from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from mmext import hosts
from mmext.errors import UserError
from mmext.models.distillers.g2sd.detection import ObjectFeatureLoss, ObjectnessLoss
from mmext.registry import MODELS

CONFIGS = Path(__file__).parents[3] / 'configs' / 'g2sd'


def build(name: str):
    hosts.repair()
    cfg = Config.fromfile(CONFIGS / name)
    cfg.model.teachers.base.update(checkpoint=None, random=True)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
        model.init_weights()
    return cfg, model.train()


def detection() -> tuple[Tensor, list[DetDataSample]]:
    torch.manual_seed(1)
    samples = []
    for _ in range(2):
        sample = DetDataSample(metainfo=dict(img_shape=(128, 128), ori_shape=(128, 128), pad_shape=(128, 128),
                                             scale_factor=(1., 1.), batch_input_shape=(128, 128)))
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[8., 8., 60., 60.], [50., 40., 120., 100.]]), labels=torch.tensor([0, 3]))
        samples.append(sample)
    return torch.randn(2, 3, 128, 128), samples


def pyramid(channels: int, seed: int, levels: int = 3, anchors: int = 2) -> list[Tensor]:
    """Maps, objectness and boxes of levels of 8, 4 and 2 places."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [8 // 2**level for level in range(levels)]
    return [torch.randn(2, width, size, size, generator=generator)
            for width in (channels, anchors, 4 * anchors) for size in sizes]


# ---------------------------------------------------------------------------------------- the losses


def test_feature_loss_is_the_formula() -> None:
    torch.manual_seed(0)
    loss = ObjectFeatureLoss(channels=4, teacher_channels=6, levels=3, loss_weight=0.5)
    ours, theirs = pyramid(4, 1), pyramid(6, 2)
    expected = 0.
    for level in range(3):
        above = below = 0.
        adapted = loss.adapt[level](ours[level])
        for image in range(2):
            for y in range(adapted.shape[2]):
                for x in range(adapted.shape[3]):
                    seen = max(theirs[3 + level][image, anchor, y, x].sigmoid() for anchor in range(2))
                    gap = theirs[level][image, :, y, x] - adapted[image, :, y, x]
                    above, below = above + (gap**2).sum() * seen, below + seen
        expected = expected + above / below
    torch.testing.assert_close(loss(ours, theirs), 0.5 * expected)


def test_objectness_loss_is_the_formula() -> None:
    ours, theirs = pyramid(4, 1), pyramid(4, 2)
    ours[3].requires_grad_()
    expected = 0.
    for level in range(3):
        above = below = 0.
        p, t = ours[3 + level].sigmoid(), theirs[3 + level].sigmoid()
        for image in range(2):
            for y in range(p.shape[2]):
                for x in range(p.shape[3]):
                    a, b = p[image, :, y, x], t[image, :, y, x]
                    terms = -(b * a.log() + (1 - b) * (1 - a).log())
                    above, below = above + terms.sum() * b.max(), below + b.max()
        expected = expected + above / below
    found = ObjectnessLoss(levels=3)(ours, theirs)
    torch.testing.assert_close(found, expected)
    one, other = (torch.autograd.grad(value, ours[3])[0] for value in (found, expected))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize(('loss', 'ours', 'theirs', 'anchors', 'message'), [
    (ObjectnessLoss(levels=5), 4, 4, 2, 'the student gives 9 tensors; expected 5 maps'),
    (ObjectnessLoss(levels=3), 4, 4, 3, 'give both the same anchors'),
    (ObjectFeatureLoss(channels=4, levels=3), 4, 6, 2, 'give teacher_channels'),
    (ObjectFeatureLoss(channels=5, levels=3), 4, 5, 2, 'channels=5, but level 0 of the student has 4'),
])
def test_what_does_not_fit_is_named(loss, ours, theirs, anchors, message) -> None:
    with pytest.raises(UserError, match=message):
        loss(pyramid(ours, 1), pyramid(theirs, 2, anchors=anchors))


# ------------------------------------------------------------------------------------- in the hosts


def test_a_detector_learns_from_its_teachers_pyramid() -> None:
    _, model = build('g2sd_faster-rcnn_vit_toy.py')
    for pairing in model.pairings.values():  # at iteration 0 the ramp has no weight
        object.__setattr__(pairing, 'schedule', None)
    inputs, samples = detection()
    losses = model(inputs, samples, mode='loss')
    assert {'loss_rpn_cls', 'loss_cls', 'loss_feature', 'loss_objectness'} <= set(losses)
    teacher = model.networks['base'].module
    maps = teacher.extract_feat(inputs)
    theirs = [*maps, *(one for part in teacher.rpn_head(maps) for one in part)]
    maps = model.student.extract_feat(inputs)
    ours = [*maps, *(one for part in model.student.rpn_head(maps) for one in part)]
    for name, weight in (('loss_feature', 0.01), ('loss_objectness', 0.1)):
        torch.testing.assert_close(losses[name], weight * model.losses[name](ours, theirs))
    ran: list[int] = []
    teacher.roi_head.bbox_head.register_forward_hook(lambda *_: ran.append(1))
    total = sum(sum(value) if isinstance(value, list) else value
                for name, value in model(inputs, samples, mode='loss').items() if 'loss' in name)
    assert not ran  # it stops after its region proposal network
    total.backward()
    assert all(one.grad is not None for one in model.parameters() if one.requires_grad)
    assert {key.split('.')[0] for key in model.state_dict()} == {'student', 'losses'}


def test_a_segmentor_learns_from_its_teachers_logits() -> None:
    _, model = build('g2sd_upernet_vit_toy.py')
    inputs, samples = torch.randn(2, 3, 128, 128), []
    for _ in range(2):
        sample = SegDataSample(metainfo=dict(img_shape=(128, 128), ori_shape=(128, 128)))
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 9, (1, 128, 128)))
        samples.append(sample)
    model.student.decode_head.dropout.p = 0.
    losses = model(inputs, samples, mode='loss')
    student, teacher = (net.decode_head(net.extract_feat(inputs))
                        for net in (model.student, model.networks['base'].module))
    terms = [-(teacher[image, k].flatten().softmax(0) * student[image, k].flatten().log_softmax(0)).sum()
             for image in range(2) for k in range(9)]
    torch.testing.assert_close(losses['loss_cwd'], torch.stack(terms).mean(), rtol=1e-4, atol=1e-4)
    plain = MODELS.build(dict(Config.fromfile(CONFIGS / 'small_upernet_vit_toy.py').model, _scope_='mmseg'))
    plain.load_state_dict(model.export_student(), strict=True)
    model.eval(), plain.eval()
    found = model(inputs, samples, mode='tensor')
    torch.testing.assert_close(found, plain(inputs, samples, mode='tensor'))


def test_stage_one_starts_a_detector(tmp_path: Path) -> None:
    hosts.repair()
    arch = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        encoder = MODELS.build(dict(type='MAEViT', arch=arch, img_size=32, patch_size=8))
    encoder.init_weights()
    path = tmp_path / 'epoch_1.pth'
    state = {f'student.backbone.{key}': one for key, one in encoder.state_dict().items()}
    torch.save(dict(state_dict=state), path)
    cfg = dict(type='mmext.ViTDet', img_size=32, patch_size=8, window_size=2,
               arch=dict(arch, global_attn_indexes=[1]))
    start = dict(type='Pretrained', checkpoint=str(path), prefix='student.backbone.')
    backbone = MODELS.build(dict(cfg, init_cfg=start))
    backbone.init_weights()
    wanted, own = encoder.state_dict(), backbone.state_dict()
    shared = [key for key in own if key in wanted and key != 'pos_embed']
    assert len(shared) == 2 + 2 * 12
    assert all(torch.equal(own[key], wanted[key]) for key in shared)
    assert torch.equal(own['pos_embed'].flatten(1, 2), wanted['pos_embed'][:, 1:])
    larger = MODELS.build(dict(cfg, img_size=64, init_cfg=start))
    larger.init_weights()
    assert larger.pos_embed.shape == (1, 8, 8, 16)
    output, = larger(torch.randn(1, 3, 64, 48))
    assert output.shape == (1, 16, 8, 6)


def test_the_pyramid() -> None:
    neck = MODELS.build(dict(type='mmext.SimpleFeaturePyramid', in_channels=16, out_channels=8))
    maps = neck([torch.randn(2, 16, 8, 4)])
    assert [tuple(one.shape) for one in maps] == [
        (2, 8, 32, 16), (2, 8, 16, 8), (2, 8, 8, 4), (2, 8, 4, 2), (2, 8, 2, 1)]
    torch.testing.assert_close(maps[0].mean(1), torch.zeros(2, 32, 16), atol=1e-5, rtol=0)  # normed
    with pytest.raises(UserError, match='takes one map'):
        MODELS.build(dict(type='mmext.SimpleFeaturePyramid', in_channels=[16, 32]))
    with pytest.raises(UserError, match='num_outs=3'):
        MODELS.build(dict(type='mmext.SimpleFeaturePyramid', in_channels=16, num_outs=3))


def test_learning_rates_fall_layer_by_layer_in_the_published_configs() -> None:
    from mmengine.optim import build_optim_wrapper
    for name, rate, layers in (('g2sd_faster-rcnn_vit_toy.py', 0.8, 4), ('g2sd_upernet_vit_toy.py', 0.75, 4)):
        cfg, model = build(name)
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            wrapper = build_optim_wrapper(model, {'type': 'OptimWrapper', **cfg.optim_wrapper})
        optimizer = wrapper.optimizer
        found = {id(one): group['lr'] for group in optimizer.param_groups for one in group['params']}
        student = model.student.backbone
        rates = [found[id(student.layers[index].attn.qkv.weight)] for index in range(layers)]
        for low, high in pairwise(rates):
            assert low / high == pytest.approx(rate)
        assert found[id(student.patch_embed.projection.weight)] == pytest.approx(rates[0] * rate)
        assert len(found) == len([one for one in model.parameters() if one.requires_grad])

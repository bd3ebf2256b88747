"""Rotated DETRs: training on odd batches, options, drop-in use in mmrotate's scope."""
from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmrotate.structures.bbox import RotatedBoxes
from torch import Tensor, nn

from mmext.registry import MODELS

_ATTENTION = dict(embed_dims=32, num_heads=4, num_levels=3, dropout=0.)
_FFN = dict(embed_dims=32, feedforward_channels=32, ffn_drop=0.)
_LAYER = dict(self_attn_cfg=dict(embed_dims=32, num_heads=4, dropout=0.), cross_attn_cfg=_ATTENTION,
              ffn_cfg=_FFN)
_COMMON = dict(
    num_queries=6, num_feature_levels=3,
    backbone=dict(type='mmdet.ResNet', depth=18, base_channels=4, out_indices=(1, 2, 3)),
    neck=dict(type='mmdet.ChannelMapper', in_channels=[8, 16, 32], kernel_size=1, out_channels=32,
              act_cfg=None, norm_cfg=dict(type='GN', num_groups=8), num_outs=3),
    encoder=dict(num_layers=1, layer_cfg=dict(self_attn_cfg=_ATTENTION, ffn_cfg=_FFN)),
    decoder=dict(num_layers=2, return_intermediate=True, layer_cfg=_LAYER, post_norm_cfg=None),
    positional_encoding=dict(num_feats=16, normalize=True),
    test_cfg=dict(max_per_img=20))
_HEAD = dict(num_classes=3, embed_dims=32, sync_cls_avg_factor=True)
_DINO = dict(type='mmext.RotatedDINO', **_COMMON, bbox_head=dict(
    type='mmext.RotatedDINOHead', adaptive_dn='phc', **_HEAD))
_DEFORMABLE = dict(type='mmext.RotatedDeformableDETR', **_COMMON, bbox_head=dict(
    type='mmext.RotatedDeformableDETRHead', **_HEAD))
_O2DETR = {**_DEFORMABLE, 'type': 'mmext.O2DETR', 'encoder': dict(num_layers=1, embed_dims=32)}
_MODELS = {
    'dino': _DINO,
    'dino-official': {**_DINO, 'box_space': dict(angle='add', sampling='official')},
    'dino-fresh': {**_DINO, 'box_space': dict(angle='fresh', sampling='none')},
    'deformable': _DEFORMABLE,
    'deformable-twostage': {**_DEFORMABLE, 'with_box_refine': True, 'as_two_stage': True},
    'deformable-refine': {**_DEFORMABLE, 'with_box_refine': True},
    'o2detr': _O2DETR,
    'o2detr-levels': {**_O2DETR, 'encoder': dict(num_layers=1, embed_dims=32, share_levels=False),
                      'with_box_refine': True, 'as_two_stage': True},
    'o2detr-finetuned': {**_O2DETR, 'refine_head': dict(
        type='mmext.O2DETRRefineHead', num_classes=3, in_channels=32, featmap_strides=(8, 16, 32),
        num_stages=2, fc_channels=16)},
}


@pytest.fixture(autouse=True)
def _mmrotate_scope() -> Any:
    with DefaultScope.overwrite_default_scope('mmrotate'):
        yield


def _build(cfg: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(Config(copy.deepcopy(cfg))._cfg_dict)
    model.init_weights()
    return model


def _samples(*boxes: Tensor, size: tuple[int, int] = (64, 96)) -> list[DetDataSample]:
    return [DetDataSample(
        metainfo=dict(img_shape=size, ori_shape=size, batch_input_shape=(64, 96), scale_factor=(1., 1.),
                      img_path=f'{index}.png'),
        gt_instances=InstanceData(bboxes=RotatedBoxes(one), labels=torch.arange(len(one)) % 3))
        for index, one in enumerate(boxes)]


def _random(count: int) -> Tensor:
    least = torch.tensor([10., 10., 4., 4., 0.])
    return torch.rand(count, 5) * torch.tensor([60., 40., 30., 20., 3.]) + least


_BATCHES = {
    'usual': lambda: (_random(2), _random(3)),
    'one image without boxes': lambda: (_random(2), torch.zeros(0, 5)),
    'no box at all': lambda: (torch.zeros(0, 5), torch.zeros(0, 5)),
    'zero sizes': lambda: (torch.tensor([[20., 20., 0., 5., 0.3], [30., 30., 0., 0., 0.]]), _random(1)),
}


@pytest.mark.parametrize('batch', _BATCHES)
@pytest.mark.parametrize('name', _MODELS)
def test_every_batch_is_trained_through(name: str, batch: str) -> None:
    torch.manual_seed(1)
    model = _build(_MODELS[name]).train()
    losses = model.loss(torch.rand(2, 3, 64, 96), _samples(*_BATCHES[batch](), size=(60, 90)))
    total = sum(losses.values())
    total.backward()
    assert total.isfinite()
    without = [key for key, value in model.named_parameters() if value.requires_grad and value.grad is None]
    assert not without, without
    assert all(value.grad.isfinite().all() for value in model.parameters() if value.grad is not None)


@pytest.mark.parametrize('name', _MODELS)
def test_prediction(name: str) -> None:
    model = _build(_MODELS[name]).eval()
    found = model.predict(torch.rand(2, 3, 64, 96), _samples(torch.zeros(0, 5), torch.zeros(0, 5)))
    for one in found:
        boxes = one.pred_instances.bboxes
        assert boxes.shape == (18, 5) and boxes.isfinite().all()
        assert (boxes[:, 4] >= 0).all() and (boxes[:, 4] <= math.pi).all()
        assert (boxes[:, 0] <= 96).all() and (boxes[:, 1] <= 64).all()


def test_lost_boxes_are_told() -> None:
    model = _build(_DINO).train()
    with pytest.warns(UserWarning, match='0.png has 9 boxes and the model 6 queries: 3 boxes'):
        model.loss(torch.rand(1, 3, 64, 96), _samples(_random(9)))


def test_the_angle_version_of_a_dataset_does_not_matter() -> None:
    model, image, losses = _build(_DINO).train(), torch.rand(1, 3, 64, 96), []
    boxes = _random(3)
    for version in ('oc', 'le90', 'le135'):
        gt = RotatedBoxes(boxes.clone())
        gt.regularize_boxes(version)
        samples = _samples(gt.tensor.clone())
        torch.manual_seed(3)
        losses.append(sum(model.loss(image, samples).values()).item())
        assert torch.equal(samples[0].gt_instances.bboxes.tensor, gt.tensor), 'ground truth was changed'
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-4)


@pytest.mark.parametrize(('change', 'message'), [
    (dict(dn_cfg=dict(group_cfg=dict(max_num_groups=30))), 'max_num_groups'),
    (dict(dn_cfg=dict(noise_mode='only_xyx')), 'did you mean'),
    (dict(box_space=dict(angle='warp')), 'did you mean wrap'),
    (dict(as_two_stage=False), 'as_two_stage=True')])
def test_wrong_arguments_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _build({**_DINO, **change})


def test_more_queries_than_tokens_are_refused() -> None:
    model = _build({**_DINO, 'num_queries': 900}).eval()
    with pytest.raises(ValueError, match='num_queries=900'):
        model.predict(torch.rand(1, 3, 64, 96), _samples(torch.zeros(0, 5)))


def test_a_turned_box_is_rescaled_as_mmrotate_does() -> None:
    head = _build(_DINO).bbox_head
    box = torch.tensor([[0.5, 0.5, 0.3, 0.2, 0.25]])
    meta = dict(img_shape=(100, 100), scale_factor=(2., 0.5))
    found = head._predict_by_feat_single(torch.tensor([[5., -5., -5.]]), box, meta)
    expected = RotatedBoxes(torch.tensor([[50., 50., 30., 20., math.pi / 4]]))
    expected.rescale_((0.5, 2.))
    torch.testing.assert_close(found.bboxes[:1], expected.tensor)


_RELATION = dict(position_relation=dict(type='mmext.PositionRelation'))


def _with_decoder(model: dict[str, Any], **decoder: Any) -> dict[str, Any]:
    return {**model, 'decoder': {**model['decoder'], **decoder}}


@pytest.mark.parametrize('name', ['dino', 'dino-fresh', 'deformable-refine', 'o2detr-levels'])
@pytest.mark.parametrize('relation', ['rotated', 'horizontal'])
def test_position_relation_is_trained(name: str, relation: str) -> None:
    model = _build(_with_decoder(_MODELS[name], relation=relation, **_RELATION)).train()
    sum(model.loss(torch.rand(2, 3, 64, 96), _samples(_random(2), _random(3))).values()).backward()
    gradient = model.decoder.position_relation.proj.weight.grad
    assert gradient.isfinite().all() and gradient.any()
    # A convolution's own initialisation: at most 1 / sqrt(64).
    assert model.decoder.position_relation.proj.weight.abs().max() <= 0.125


def test_position_relation_sees_what_the_head_predicts() -> None:
    model, seen = _build(_with_decoder(_DINO, **_RELATION)).eval(), []
    model.decoder.position_relation.register_forward_pre_hook(lambda _, args: seen.append(args[:2]))
    samples = _samples(torch.zeros(0, 5), torch.zeros(0, 5), size=(64, 96))
    with torch.no_grad():
        inputs = model.forward_transformer(model.extract_feat(torch.rand(2, 3, 64, 96)), samples)
        _, boxes = model.bbox_head(**inputs)
    (previous, latest), = seen
    # In heights of the image, so that the geometry is that of pixels.
    unit = torch.tensor([1.5, 1., 1.5, 1., math.pi])
    torch.testing.assert_close(latest, boxes[0] * unit, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(previous, inputs['references'][0] * unit, atol=1e-4, rtol=1e-4)


def test_position_relation_needs_refinement() -> None:
    with pytest.raises(ValueError, match='needs with_box_refine=True'):
        _build(_with_decoder(_DEFORMABLE, **_RELATION))
    with pytest.raises(ValueError, match='decoder.relation'):
        _build(_with_decoder(_DINO, relation='horizonal', **_RELATION))


def test_initialisation_leaves_a_checkpoint_alone(tmp_path: Path) -> None:
    for number, name in enumerate(('dino', 'deformable-twostage', 'o2detr')):
        source, path = _build(_MODELS[name]), tmp_path / f'{number}.pth'
        torch.save(source.state_dict(), path)
        cfg = {**_MODELS[name], 'init_cfg': dict(type='Pretrained', checkpoint=str(path))}
        target = MODELS.build(Config(copy.deepcopy(cfg))._cfg_dict)
        torch.manual_seed(5)
        target.init_weights()
        for key, value in source.state_dict().items():
            assert torch.equal(target.state_dict()[key], value), (name, key)


def test_the_angle_of_a_square_costs_nothing_by_elongation() -> None:
    head = _build({**_DINO, 'bbox_head': {**_DINO['bbox_head'], 'angle_by_elongation': True}}).bbox_head
    metas, one = [dict(img_shape=(64, 96))], torch.ones(1)
    for side, free in ((20., True), (5., False)):
        target = head.space.encode(torch.tensor([[40., 30., 20., side, 0.4]]), (64, 96))
        turned = target + torch.tensor([0., 0., 0., 0., 0.3])
        targets = ((torch.zeros(1, dtype=torch.long), ), (one, ), (target, ), (torch.ones(1, 5), ), 1, 0)
        loss = head._losses(torch.zeros(1, 1, 3), turned[None], targets, metas)[1]
        assert loss.item() == pytest.approx(0., abs=1e-5) if free else loss > 1

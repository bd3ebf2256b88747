"""CGG against the authors' code, from their arguments and weights through the converter."""
from __future__ import annotations

from typing import Any

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmext.converters import convert
from mmext.models.detectors.cgg import _in_original
from mmext.registry import MODELS
from tests.parity.cases import Case, cases


def _build(case: Case, constructor: str, target: str | None = None) -> Any:
    cfg, state = convert('cgg', case.args, case.state({}), constructor, target)
    module = MODELS.build(ConfigDict(cfg))
    module.load_state_dict(state, strict=True)
    return module.eval()


@pytest.mark.parametrize('case', cases('cgg'))
def test_parity(case: Case) -> None:
    if 'num_things' in case.args:
        _fusion(case)
    elif not case.args.get('use_class_emb', True):
        case.check(_without_text(case))
    elif 'pixel_decoder' in case.args:
        case.check({**_forward(case), **_training(case), **_inference(case)})
    else:
        case.check(_grounding(case))


def _grounding(case: Case) -> dict[str, Tensor]:
    loss = _build(case, 'GroundingLoss')
    queries = case.inputs['cls_emb_pred'].requires_grad_()
    value = loss(queries[None], case.inputs['caption_embs'], case.inputs['caption_mask'])
    value.sum().backward()
    assert queries.grad is not None
    return {'loss': value, 'grad': queries.grad}


def _fusion(case: Case) -> None:
    fusion = _build(case, 'MaskFormerFusionHeadOpen')
    logits = nn.functional.pad(
        case.inputs['cls_emb_pred'] @ case.state({})['all_class_embs'][:-1].t(), (0, 1))
    image = case.args
    sample = DetDataSample(metainfo={key: tuple(image[key]) for key in ('img_shape', 'ori_shape')})
    result = fusion.predict(logits, case.inputs['mask_pred'], [sample], rescale=True)
    assert torch.equal(result[0]['pan_results'].sem_seg[0], case.outputs['panoptic'])


def _samples(case: Case) -> list[DetDataSample]:
    samples = []
    inputs = case.inputs
    for index, meta in enumerate(case.spec['image']['img_metas']):
        kept: dict[str, Any] = {key: tuple(meta[key][:2]) for key in ('img_shape', 'ori_shape', 'pad_shape',
                                                      'batch_input_shape')}
        for ours, theirs in (('caption', 'gt_caption'), ('noun', 'gt_caption_nouns')):
            if f'{theirs}_ids' not in inputs:
                continue
            ids, mask = inputs[f'{theirs}_ids'][index], inputs[f'{theirs}_mask'][index].bool()
            kept[f'{ours}_ids'] = ids[mask].tolist()
        sample = DetDataSample(metainfo=kept)
        masks = inputs[f'gt_masks.{index}']
        sample.gt_instances = InstanceData(labels=inputs[f'gt_labels.{index}'],
                                           masks=BitmapMasks(masks.numpy(), *masks.shape[1:]))
        samples.append(sample)
    return samples


def _feats(case: Case) -> list[Tensor]:
    return [case.inputs[f'feats.{level}'] for level in range(len(case.args['in_channels']))]


def _forward(case: Case) -> dict[str, Tensor]:
    """Of the head, and of mmdet's own head with the linear classifier."""
    head = _build(case, 'Mask2FormerHeadOpen')
    queries, masks = head(_feats(case), [])
    closed, closed_masks = _build(case, 'Mask2FormerHeadOpen', 'mask2former')(_feats(case), [])
    assert torch.equal(masks[-1], closed_masks[-1])
    found = {f'cls_emb_pred.{index}': value for index, value in enumerate(queries)}
    found |= {f'cls_pred.{index}': value for index, value in enumerate(closed)}
    found |= {'mask_pred.0': masks[0], 'mask_pred.last': masks[-1],
              'mask_features': head.pixel_decoder(_feats(case))[0]}
    base = head.class_embeddings[head.base_rows]
    found['cls_emb_logits'] = head.logits(queries[-1], base) / head.temperature
    metas = [sample.metainfo for sample in _samples(case)]
    if head.caption_generator is not None:
        ids, mask = head._padded('caption_ids', metas)
        states = head.caption_generator(head.word_embeddings[ids][:, :-1], mask[:, :-1], queries[-1])
        found['caption_logits'] = head.caption_generator.generator(states)
    if head.with_caption:
        found['noun_embs'] = head.word_embeddings[head._padded('noun_ids', metas)[0]]
    return found


def _without_text(case: Case) -> dict[str, Tensor]:
    """Of the first stage, which is mmdet's own model: objects of one class, or of all by number."""
    head = _build(case, 'Mask2FormerHeadOpen', 'mask2former')
    queries, masks = head(_feats(case), [])
    found = {f'cls_pred.{index}': value for index, value in enumerate(queries)}
    found |= {'mask_pred.0': masks[0], 'mask_pred.last': masks[-1],
              'mask_features': head.pixel_decoder(_feats(case))[0]}
    samples = _samples(case)
    if case.args.get('class_agnostic'):
        for sample in samples:
            sample.gt_instances.labels = torch.zeros_like(sample.gt_instances.labels)
    torch.manual_seed(1234)
    losses = head.loss(_feats(case), samples)
    total = torch.stack([loss.sum() for loss in losses.values()]).sum()
    total.backward()
    assert float(total) == pytest.approx(case.spec['loss']['total'], rel=case.spec['tolerance']['rtol'])
    found |= {f'loss.{name}': value.reshape(1) for name, value in losses.items()}
    found |= {name: torch.zeros(1) for name in case.outputs  # what there is no loss of
              if name.startswith('loss.') and name not in found}
    found |= {f'grad.{name}': value.grad for name, value in head.named_parameters() if value.grad is not None}
    fusion = MODELS.build(dict(type='mmext.CGGFusionHead', num_things_classes=head.num_things_classes,
                               num_stuff_classes=head.num_stuff_classes, test_cfg=case.args['test_cfg']))
    with torch.no_grad():
        logits, masks = head.predict(_feats(case), samples)
        for index, sample in enumerate(samples):
            mask = _in_original(masks[index], sample.metainfo, rescale=True)
            result = fusion.instance_postprocess(logits[index], mask)
            found |= _result(f'all_results.{index}', result, result.labels)
    return found


def _result(prefix: str, result: InstanceData, labels: Tensor) -> dict[str, Tensor]:
    """Best first."""
    order = result.scores.argsort(descending=True, stable=True)
    boxes = torch.cat([result.bboxes, result.scores[:, None]], dim=1)
    return {f'{prefix}.labels': labels[order], f'{prefix}.masks': result.masks[order],
            f'{prefix}.bboxes': boxes[order]}


def _training(case: Case) -> dict[str, Tensor]:
    head = _build(case, 'Mask2FormerHeadOpen')
    torch.manual_seed(1234)
    losses = head.loss(_feats(case), _samples(case))
    torch.stack([loss.sum() for loss in losses.values()]).sum().backward()
    found: dict[str, Any] = {}
    for name, value in losses.items():
        name = name.replace('loss_cls', 'loss_cls_emb').replace('loss_caption', 'loss_caption_generation')
        found[f'loss.{name}'] = value.reshape(1)
        # 0 in the authors' log: a loss of weight 0, and those that are not there.
        prefix = name.rpartition('.')[0]
        for zero in ('cls', 'caption_align', 'grounding', 'caption_generation'):
            found.setdefault(f'loss.{prefix}{"." if prefix else ""}loss_{zero}', torch.zeros(1))
    total = sum(float(value) for value in losses.values())
    assert total == pytest.approx(case.spec['loss']['total'], rel=case.spec['tolerance']['rtol'])
    attention = 'caption_generator.layers.0.cross_attn'
    renamed = {f'{attention}.key.weight':
               'caption_generator.transformer_decoder.decoders.0.crx_layer.to_key.weight'}
    for name, parameter in head.named_parameters():
        if parameter.grad is not None:
            official = renamed.get(name, name.replace('cls_embed', 'v2l_transform'))
            found[f'grad.{official}'] = parameter.grad
    return found


@torch.no_grad()
def _inference(case: Case) -> dict[str, Tensor]:
    head = _build(case, 'Mask2FormerHeadOpen')
    samples = _samples(case)
    queries, masks = head.predict(_feats(case), samples)
    fusion = MODELS.build(dict(type='mmext.CGGFusionHead', num_things_classes=len(head.classes),
                               num_stuff_classes=0, test_cfg=case.args['test_cfg']))
    base = head.base_rows.tolist()
    novel = [row for row in range(len(head.classes)) if row not in base]
    found: dict[str, Any] = {}
    for index, sample in enumerate(samples):
        mask = _in_original(masks[index], sample.metainfo, rescale=True)
        logits = head.logits(queries[index], head.class_embeddings)
        for name, labels in (('all', None), ('novel', novel), ('base', base)):
            result = fusion.instance_postprocess(logits, mask, labels)
            own = result.labels if labels is None else torch.tensor(
                [labels.index(label) for label in result.labels.tolist()], dtype=torch.long)
            found |= _result(f'{name}_results.{index}', result, own)
    return found


@pytest.mark.parametrize('classes', [1, 3])
def test_a_first_stage_is_a_whole_detector_of_the_host(classes: int) -> None:
    """With the linear classifier, which tells how many classes there are."""
    official = {'panoptic_head.cls_embed.weight': torch.rand(classes + 1, 256),
                'panoptic_head.cls_embed.bias': torch.rand(classes + 1)}
    cfg, state = convert('cgg', {}, official, 'coco_b48n17', 'mask2former')
    model: Any = MODELS.build(ConfigDict(cfg))
    assert type(model).__name__ == 'Mask2Former' and model.panoptic_fusion_head.num_classes == classes
    found = model.load_state_dict(state, strict=False)
    assert not found.unexpected_keys
    assert torch.equal(model.panoptic_head.cls_embed.weight, official['panoptic_head.cls_embed.weight'])


@pytest.mark.parametrize('name', ['use_caption', 'use_caption_generation'])
def test_a_model_without_one_use_of_captions(name: str) -> None:
    cfg, _ = convert('cgg', {name: False, 'loss_aux_weight': 0.5}, {}, 'Mask2FormerHeadOpen')
    parts = dict(use_caption='loss_grounding', use_caption_generation='caption_generator')
    assert {part: cfg[part] is None for part in parts.values()} == {
        part: key == name for key, part in parts.items()}
    assert cfg['loss_aux_weight'] == 0.5


def test_each_stage_matches_with_its_own_cost() -> None:
    costs = dict(cls_cost=dict(weight=3.), cls_emb_cost=dict(weight=0.5))
    train = dict(assigner=costs, num_points=16, oversample_ratio=3., importance_sample_ratio=0.75)
    weights = {}
    for target in ('mask2former', 'model'):
        cfg, _ = convert('cgg', dict(train_cfg=train), {}, 'Mask2FormerHeadOpen', target)
        weights[target] = cfg['train_cfg']['assigner']['match_costs'][0]['weight']
    assert weights == dict(mask2former=3., model=0.5)

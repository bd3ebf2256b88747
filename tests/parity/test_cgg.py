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
        from mmext.models.detectors.cgg import _in_original
        mask = _in_original(masks[index], sample.metainfo, rescale=True)
        logits = head.logits(queries[index], head.class_embeddings)
        for name, labels in (('all', None), ('novel', novel), ('base', base)):
            result = fusion.instance_postprocess(logits, mask, labels)
            result = result[result.scores.argsort(descending=True, stable=True)]
            own = result.labels if labels is None else torch.tensor(
                [labels.index(label) for label in result.labels.tolist()])
            prefix = f'{name}_results.{index}'
            found |= {f'{prefix}.labels': own, f'{prefix}.masks': result.masks,
                      f'{prefix}.bboxes': torch.cat([result.bboxes, result.scores[:, None]], dim=1)}
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

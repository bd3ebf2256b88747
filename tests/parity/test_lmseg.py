"""LMSeg against the authors' code, from their arguments and weights through the converter."""
from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmext.converters import convert
from mmext.models.segmentors.lmseg import CLIPTextContextEncoder, read_taxonomy, semantic_scores
from mmext.models.segmentors.lmseg.head import ASSIGNER
from mmext.registry import MODELS
from tests.parity.cases import Case, cases

MEAN, STD = (122.7709, 116.7460, 104.0937), (68.5005, 66.6322, 70.3232)


@pytest.mark.parametrize('case', cases('lmseg'))
def test_parity(case: Case) -> None:
    if 'names' in case.spec:
        actual = _tokens(case)
        assert case.outputs.keys() == actual.keys()
        for name, reference in case.outputs.items():
            assert torch.equal(actual[name], reference), name
    else:
        case.check(_model(case))


def _tokens(case: Case) -> dict[str, Tensor]:
    """Token ids of the prompts that taxonomies make of the authors' names."""
    found = {}
    for name, spec in case.spec['names'].items():
        template = '{}' if name.endswith('panoptic') else 'a photo of {}'
        first = all(raw.split(',')[0].strip() == used.strip() for raw, used in zip(spec['raw'], spec['used']))
        given = dict(prompt=template, synonym='first' if first else 'whole')
        names = spec['raw'] if first else spec['used'][:-1]  # the last is the background
        # One by one: of ADE20K's 847 classes several have the same word, which a taxonomy refuses.
        alone = [read_taxonomy(name, dict(given, classes=[one])) for one in names]
        prompts = [one.prompts[0] for one in alone] + [alone[0].prompts[-1]]
        if len(set(prompts)) == len(prompts):
            taxonomy = read_taxonomy(name, dict(given, classes=spec['raw'], things=spec.get('thing_ids', ())))
            assert sorted(taxonomy.things) == spec.get('thing_ids', [])
            assert not first or list(taxonomy.prompts) == prompts
        length = case.outputs[f'tokens.{name}'].shape[1]
        encoder = CLIPTextContextEncoder(8, length, width=8, heads=1, layers=1)
        found[f'tokens.{name}'] = encoder.tokenize(prompts)
    return found


def _model(case: Case) -> dict[str, Tensor]:
    panoptic = case.spec['eval']['panoptic']
    target = 'panoptic' if panoptic else 'semantic'
    cfg, state = convert('lmseg', case.args, case.state({}), target=target)
    if panoptic:
        cfg['taxonomies']['converted']['things'] = panoptic['thing_ids']
        cfg['test_cfg'] = dict(object_mask_thr=panoptic['object_mask_threshold'],
                               iou_thr=panoptic['overlap_threshold'])
    cfg['panoptic_head' if panoptic else 'decode_head'].update(_loss_cfg(case.spec['loss']))
    model: Any = MODELS.build(cfg)
    model.load_state_dict(state, strict=True)
    # The case's tokens are random numbers, of no text.
    model.guide.encoder.tokenize = lambda prompts: case.inputs['tokens']
    images, sizes = _images(case, model.data_preprocessor)
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        found.update(_outputs(case, model.eval(), images, sizes))
    found.update(_losses(case, model.train(), images))
    return found


def _loss_cfg(spec: dict[str, Any]) -> dict[str, Any]:
    """The authors' weights of losses and costs, which are no arguments of their model."""
    weights, cost = spec['weights'], spec['cost']
    assigner: dict[str, Any] = copy.deepcopy(ASSIGNER)
    for one, name in zip(assigner['match_costs'], ('cls', 'mask', 'dice')):
        one['weight'] = cost[name]
    return dict(
        background_weight=spec['eos_coef'], assigner=assigner,
        loss_cls=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=False, loss_weight=weights['ce']),
        loss_mask=dict(type='mmdet.FocalLoss', use_sigmoid=True, loss_weight=weights['mask']),
        loss_dice=dict(type='mmdet.DiceLoss', use_sigmoid=True, activate=True, naive_dice=True, eps=1.,
                       loss_weight=weights['dice']))


def _images(case: Case, preprocessor: Any) -> tuple[Tensor, list[tuple[int, int]]]:
    """The batch as the preprocessor of the converted model makes it."""
    images = [value for key, value in sorted(case.inputs.items()) if key.startswith('image.')]
    torch.testing.assert_close(preprocessor.mean.flatten(), torch.tensor(MEAN))
    torch.testing.assert_close(preprocessor.std.flatten(), torch.tensor(STD))
    divisor = getattr(preprocessor, 'size_divisor', None) or preprocessor.pad_size_divisor
    height, width = (-(-max(image.shape[side] for image in images) // divisor) * divisor for side in (1, 2))
    batch = torch.zeros(len(images), 3, height, width)
    for place, image in zip(batch, images):
        place[:, :image.shape[1], :image.shape[2]] = (image - preprocessor.mean) / preprocessor.std
    return batch, [(image.shape[1], image.shape[2]) for image in images]


def _outputs(case: Case, model: Any, images: Tensor,
             sizes: list[tuple[int, int]]) -> dict[str, Tensor]:
    head = model.panoptic_head if case.spec['eval']['panoptic'] else model.decode_head
    taxonomy = model.guide.taxonomies['converted']
    text = model.guide(taxonomy)
    shape = tuple(images.shape[2:])
    maps = model.extract_feat(images)
    states, mask_features = head.decode(maps, text, shape)
    scores, masks = head(maps, text, shape)
    found = {f'backbone.res{index + 2}': one for index, one in enumerate(maps)}
    if model.backbone.attnpool is not None:
        found['backbone.attnpool_global'], found['backbone.attnpool_local'] = model.backbone.pool(maps[-1])
    found.update(text_embeddings=text.expand(len(images), -1, -1), class_embeddings=states,
                 mask_features=mask_features, pred_logits=scores[-1], pred_masks=masks[-1])
    scores, masks = head.predict(maps, text, shape)
    spec = case.spec['eval']
    size = (spec['out_height'], spec['out_width'])
    for index, (height, width) in enumerate(sizes):
        one = masks[index, :, :height, :width]
        if spec['postprocess_before_inference']:
            one = _resize(one, size)
            result = semantic_scores(scores[index], one)
        else:
            result = _resize(semantic_scores(scores[index], one), size)
        found[f'sem_seg.{index}'] = result
        if spec['panoptic']:
            ids, segments = model.panoptic_fusion_head.segments(scores[index], one, taxonomy)
            name = f'panoptic_seg.{index}'
            found[name] = _settled(ids, case.outputs[name], scores[index], one,
                                   spec['panoptic']['object_mask_threshold'])
            assert [dict(id=s.id, isthing=s.thing, category_id=s.label) for s in segments] == \
                spec['panoptic']['segments_info'][index]
            meta = dict(img_shape=(height, width), ori_shape=size)
            coded = model.panoptic_fusion_head.predict(
                scores[index:index + 1], masks[index:index + 1], [DetDataSample(metainfo=meta)], True,
                [taxonomy])[0]['pan_results'].sem_seg[0]
            assert torch.equal(coded == taxonomy.num_classes, ids == 0)
            for segment in segments:
                assert (coded[ids == segment.id] % 1000 == segment.label).all()
    return found


def _settled(ids: Tensor, reference: Tensor, scores: Tensor, masks: Tensor, least: float) -> Tensor:
    """Where two queries are equal but for rounding, either owns a pixel."""
    sure, labels = scores.softmax(-1).max(-1)
    keep = (labels < scores.shape[-1] - 1) & (sure > least)
    if keep.sum() < 2 or ids.shape != reference.shape:
        return ids
    first, second = (sure[keep, None, None] * masks[keep].sigmoid()).topk(2, dim=0).values
    return torch.where(first - second < 1e-5, reference, ids)


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x[None], size=size, mode='bilinear', align_corners=False)[0]


def _losses(case: Case, model: Any, images: Tensor) -> dict[str, Tensor]:
    panoptic = bool(case.spec['eval']['panoptic'])
    head = model.panoptic_head if panoptic else model.decode_head
    for module in head.modules():  # nothing is left out by chance
        if isinstance(module, (nn.Dropout, DropPath)):
            module.eval()
    targets = []
    for index in range(len(images)):
        masks = case.inputs[f'gt_masks.{index}']
        padded = torch.zeros(len(masks), *images.shape[2:], dtype=torch.long)
        padded[:, :masks.shape[1], :masks.shape[2]] = masks
        targets.append(InstanceData(labels=case.inputs[f'gt_labels.{index}'], masks=padded))
    text = model.guide(model.guide.taxonomies['converted'])
    losses = head.loss(model.extract_feat(images), text, tuple(images.shape[2:]), targets)
    total = sum(losses.values())
    torch.testing.assert_close(total.item(), case.spec['loss']['total'], rtol=1e-3, atol=1e-3)
    total.backward()
    found: dict[str, Tensor] = {}
    for key, value in losses.items():
        level, _, name = key.rpartition('.')
        official = name.replace('loss_cls', 'loss_ce') + (f'_{level[1:]}' if level else '')
        found[f'loss.{official}'] = value.reshape(1)
    wanted = [key.removeprefix('grad.') for key in case.outputs if key.startswith('grad.')]
    parameters: dict[str, Any] = dict(model.named_parameters())
    # The converter says what the official parameters are called here.
    for key in wanted:
        _, renamed = convert('lmseg', case.args, {key: case.outputs[f'grad.{key}']},
                             target='panoptic' if panoptic else 'semantic')
        found[f'grad.{key}'] = parameters[next(iter(renamed))].grad
    return found

"""METR against the authors' code, from their arguments and weights through the converter."""
from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from mmdet.models.layers import CdnQueryGenerator
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmext.converters import ConversionReport, convert
from mmext.registry import MODELS
from tests.parity.cases import Case, cases


def _build(case: Case, report: ConversionReport) -> Any:
    cfg, state = convert('metr', case.args, case.state({}), case.constructor.rstrip(','), report=report)
    module = MODELS.build(cfg)
    module.load_state_dict(state, strict=True)
    return module.eval()


@pytest.mark.parametrize('case', cases('metr'))
def test_parity(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    if case.constructor == 'PromptIndicator':
        case.check(_extraction(case))
    elif 'dn_label_query' in case.inputs:
        case.check(_training(case, monkeypatch))
    else:
        case.check(_inference(case))


def _gradients(case: Case, module: nn.Module, report: ConversionReport) -> dict[str, Tensor]:
    parameters, renamed = dict(module.named_parameters(remove_duplicate=False)), dict(report.renamed)
    # Layers share their heads: a key that was dropped is the first layer's.
    actual = {}
    for name in case.outputs:
        if name.startswith('grad.'):
            official = re.sub(r'^transformer\.decoder\.(?=class_embed|bbox_embed)', '',
                              name.removeprefix('grad.'))
            official = re.sub(r'(class_embed|classifier_label)\.\d+', r'\1.0', official)
            actual[name] = parameters[renamed[official]].grad
    return actual


def _extraction(case: Case) -> dict[str, Tensor]:
    report = ConversionReport()
    module, inputs = _build(case, report), case.inputs
    present = inputs['multi_label_onehot'].bool()
    logits, vectors = module(inputs['memory'], inputs['memory_mask'])
    rows = torch.arange(len(present))[:, None]
    actual = {'label_logits': logits[-1], 'category_feats': vectors}
    for mode in ('eval', 'train'):
        module.train(mode == 'train')
        kept = module.select(logits[-1], present if mode == 'train' else None)
        actual[f'{mode}_bs_idx'] = rows.expand_as(kept).flatten()
        actual[f'{mode}_cls_idx'] = kept.flatten()
        actual[f'{mode}_class_vectors'] = vectors[rows, kept].flatten(0, 1)
    losses = module.loss(logits, present)
    losses['loss_cem'].backward()  # the case's gradient is that of the last block's loss
    actual.update((_official(name), value) for name, value in losses.items())
    return {**actual, **_gradients(case, module, report)}


def _official(name: str) -> str:
    """``b0.loss_cem``, ``d1.dn_loss_cls`` and the like in the authors' form."""
    if name.endswith('loss_cem'):
        return 'loss.cls_asl' + ('_' + name[1:name.index('.')] if '.' in name else '')
    layer, _, rest = name.rpartition('.')
    what = {'cls': 'ce', 'bbox': 'bbox', 'iou': 'giou'}[rest.rpartition('_')[2]]
    kind = '_dn' if rest.startswith('dn_') else '_interm' if rest.startswith('enc_') else ''
    return f'loss.loss_{what}{kind}' + (f'_{layer[1:]}' if layer else '')


def _sample(case: Case) -> DetDataSample:
    inputs = case.inputs
    height, width = inputs['image_size'].tolist()
    original = inputs['orig_size'].tolist()
    sample = DetDataSample(metainfo=dict(
        img_shape=(height, width), ori_shape=tuple(original), batch_input_shape=tuple(case.args['padded']),
        scale_factor=(width / original[1], height / original[0])))
    scale = torch.tensor([width, height, width, height])
    sample.gt_instances = InstanceData(bboxes=bbox_cxcywh_to_xyxy(inputs['gt_boxes_cxcywh']) * scale,
                                       labels=inputs['gt_labels'])
    return sample


def _train(model: Any) -> Any:
    """In training, but nothing is left out by chance."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    return model


def _maps(case: Case) -> list[Tensor]:
    return [case.inputs[f'feat{i}'] for i in range(len(case.args['in_channels']))]


@torch.no_grad()
def _inference(case: Case) -> dict[str, Tensor]:
    model, samples = _build(case, ConversionReport()), [_sample(case)]
    head, maps = model.bbox_head, model.neck(_maps(case))
    inputs = model.forward_transformer(maps, samples)
    logits, boxes = head(**inputs)
    found = head.predict(**inputs, batch_data_samples=samples, rescale=True)[0]
    # What training gives to the encoder's loss, which inference does not compute.
    _train(model)
    training = model.forward_transformer(maps, samples)
    actual = {'pred_logits': logits[-1, 0], 'pred_boxes': boxes[-1, 0], 'class_index': inputs['kept'][0],
              'interm_logits': training['enc_outputs_class'] + head.enc_bias,
              'interm_boxes': training['enc_outputs_coord'], 'det.scores': found.scores,
              'det.labels': found.labels, 'det.boxes': found.bboxes}
    for layer in range(len(logits) - 1):
        actual[f'aux{layer}.pred_logits'] = logits[layer, 0]
        actual[f'aux{layer}.pred_boxes'] = boxes[layer, 0]
    return actual


def _training(case: Case, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    report = ConversionReport()
    model, samples, inputs = _train(_build(case, report)), [_sample(case)], case.inputs
    drawn = (inputs['dn_label_query'], inputs['dn_bbox_query_unact'], inputs['dn_attn_mask'],
             dict(num_denoising_queries=case.spec['pad_size'], num_denoising_groups=case.spec['dn_groups']))
    monkeypatch.setattr(CdnQueryGenerator, '__call__', lambda *_: drawn)
    head_inputs = model.forward_transformer(model.neck(_maps(case)), samples)
    weights = case.spec['weights']
    losses = model.losses(head_inputs, samples)
    # Of more than two extraction blocks the authors weigh the first and the last.
    total, _ = model.parse_losses({name: value for name, value in losses.items()
                                   if _official(name).removeprefix('loss.') in weights})
    total.backward()
    logits, boxes = model.bbox_head(**head_inputs)
    padding = case.spec['pad_size']
    default = case.args['loss_coef']['cls_asl']
    actual = {_official(name): value / weights.get(_official(name).removeprefix('loss.'), default)
              for name, value in losses.items()}
    assert set(weights) <= {name.removeprefix('loss.') for name in actual}
    # Shares of the L1 loss that the authors log.
    centre, size = _encoder_shares(case, model, head_inputs, samples)
    actual.update({
        'loss_total': total, 'pred_logits': logits[-1, 0, :, padding:],
        'pred_boxes': boxes[-1, 0, :, padding:], 'class_index': head_inputs['kept'][0],
        'interm_logits': head_inputs['enc_outputs_class'] + model.bbox_head.enc_bias,
        'interm_boxes': head_inputs['enc_outputs_coord'],
        'loss.loss_xy_interm': centre, 'loss.loss_hw_interm': size})
    return {**actual, **_gradients(case, model, report)}


def _encoder_shares(case: Case, model: Any, head_inputs: dict,
                    samples: list[DetDataSample]) -> tuple[Tensor, Tensor]:
    """L1 of centres and of sizes over the encoder's matched boxes."""
    found: list[tuple[Tensor, Tensor]] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        found.append(inputs[:2])

    handle = model.bbox_head.loss_bbox.register_forward_hook(keep)
    with torch.no_grad():
        model.losses(head_inputs, samples)
    handle.remove()
    boxes, truth = found[-1]
    difference = (boxes - truth).abs().sum(dim=0) / len(case.inputs['gt_labels'])
    return difference[:2].sum(), difference[2:].sum()

"""Relation-DETR against the authors' code, from their arguments and weights through the converter."""
from __future__ import annotations

import pytest
import torch
from mmdet.models.layers import CdnQueryGenerator
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmext.converters import ConversionReport, convert
from mmext.ops.position_relation import box_differences
from mmext.registry import MODELS
from tests.parity.cases import Case, cases


def _build(case: Case, target: str | None = None, report: ConversionReport | None = None) -> nn.Module:
    cfg, state = convert('relation_detr', case.args, case.state({}), case.constructor, target, report)
    module = MODELS.build(cfg)
    module.load_state_dict(state, strict=True)
    return module.eval()


@pytest.mark.parametrize('case', cases('relation_detr'))
def test_parity(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    if case.constructor == 'PositionRelationEmbedding':
        case.check(_relation(case))
    elif case.constructor == 'RelationTransformerDecoderLayer':
        case.check(_layer(case))
    elif case.constructor.endswith('Decoder'):
        case.check(_decoder(case))
    elif 'gt0.boxes' in case.inputs:
        case.check(_training(case, monkeypatch))
    else:
        case.check(_inference(case))


def _relation(case: Case) -> dict[str, Tensor]:
    relation = _build(case)
    src, tgt = case.inputs['src_boxes'], case.inputs['tgt_boxes']
    return {'rel_encoding': box_differences(src, tgt), 'bias': relation(src, tgt),
            'bias_self': relation(src)}


def _layer(case: Case) -> dict[str, Tensor]:
    layer = _build(case)
    inputs = case.inputs
    bias, padding = inputs.pop('self_attn_bias'), inputs.pop('key_padding_mask')
    return {'out': layer(**inputs, self_attn_mask=bias, key_padding_mask=padding),
            'out_nobias_nomask': layer(**inputs)}


def _decoder(case: Case) -> dict[str, Tensor]:
    decoder, head = _build(case), _build(case, 'head')
    mask = case.inputs.get('attn_mask')
    inputs = {name: value for name, value in case.inputs.items() if name != 'attn_mask'}
    states, references = decoder(**inputs, self_attn_mask=mask, reg_branches=head.reg_branches)
    logits, boxes = head(states, references)
    return {'all_cls_logits': logits, 'all_boxes': boxes}


def _samples(case: Case) -> list[DetDataSample]:
    """The images of a case; ground truth where there is some."""
    samples = []
    for index, size in enumerate(case.inputs['image_sizes'].tolist()):
        sample = DetDataSample(metainfo=dict(
            img_shape=tuple(size), ori_shape=tuple(size), scale_factor=(1., 1.),
            batch_input_shape=tuple(case.args['padded'])))
        if f'gt{index}.boxes' in case.inputs:
            sample.gt_instances = InstanceData(bboxes=case.inputs[f'gt{index}.boxes'],
                                               labels=case.inputs[f'gt{index}.labels'])
        samples.append(sample)
    return samples


def _maps(case: Case) -> list[Tensor]:
    return [case.inputs[f'feat{i}'] for i in range(len(case.args['neck_in_channels']))]


def _inference(case: Case) -> dict[str, Tensor]:
    model, samples = _build(case, 'raw_ids'), _samples(case)
    relation, related = model.decoder.position_relation, []
    memories: list[Tensor] = []
    relation.register_forward_pre_hook(lambda module, inputs: related.append(inputs[:2]) or None)
    model.encoder.register_forward_hook(lambda module, inputs, output: memories.append(output) or None)
    with torch.no_grad():
        maps = model.neck(_maps(case))
        head_inputs = model.forward_transformer(maps, samples)
        logits, boxes = model.bbox_head(**head_inputs)
        found = model.bbox_head.predict(**head_inputs, batch_data_samples=samples, rescale=True)
        enc_logits, enc_boxes = _encoder_outputs(model, maps, samples)
    actual = {'memory': memories[0], 'all_cls_logits': logits, 'all_boxes': boxes,
              'enc_cls_logits': enc_logits, 'enc_boxes': enc_boxes}
    actual.update({f'neck{i}': one for i, one in enumerate(maps)})
    # A millionth of a small box's width is 1e-4 in the bias (the scale is 100): the relation is given
    # the case's own boxes, once ours are found equal to them.
    stages = [case.outputs['enc_boxes'], *case.outputs['all_boxes']]
    for index, pair in enumerate(tuple(related)):
        for ours, theirs in zip(pair, stages[index:]):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
        actual[f'relation_bias_after_layer{index}'] = relation(*stages[index:index + 2])
    for index, result in enumerate(found):
        actual.update({f'det{index}.scores': result.scores, f'det{index}.labels': result.labels,
                       f'det{index}.boxes': result.bboxes})
    return actual


def _encoder_outputs(model: nn.Module, maps: tuple[Tensor, ...],
                     samples: list[DetDataSample]) -> tuple[Tensor, Tensor]:
    """What training gives to the encoder's loss, which inference does not compute."""
    encoder_inputs, _ = model.pre_transformer(maps, samples)
    outputs = model.forward_encoder(**encoder_inputs)
    tokens, proposals = model.gen_encoder_output_proposals(**outputs)
    last = model.decoder.num_layers
    return model._select(tokens, proposals, model.bbox_head.cls_branches[last],
                         model.bbox_head.reg_branches[last], model.num_queries, 'num_queries')


LOSSES = {'class': 'cls', 'bbox': 'bbox', 'giou': 'iou'}


def _loss_name(official: str) -> str:
    """``loss_class_dn_0_hybrid`` and the like in mmdet's form."""
    _, what, *rest = official.split('_')
    name = f'loss_{LOSSES[what]}'
    if 'enc' in rest:
        name = f'enc_{name}'
    if 'dn' in rest:
        name = f'dn_{name}'
    layer = next((part for part in rest if part.isdigit()), None)
    if layer is not None:
        name = f'd{layer}.{name}'
    return f'hybrid.{name}' if 'hybrid' in rest else name


def _training(case: Case, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    report = ConversionReport()
    model, samples, inputs = _build(case, 'raw_ids', report).train(), _samples(case), case.inputs
    drawn = (inputs['dn_label_query'], inputs['dn_bbox_query_unact'], inputs['dn_attn_mask'],
             dict(num_denoising_queries=inputs['dn_label_query'].shape[1],
                  num_denoising_groups=case.spec['denoising_groups']))
    monkeypatch.setattr(CdnQueryGenerator, '__call__', lambda *_: drawn)
    head_inputs = model.forward_transformer(model.neck(_maps(case)), samples)
    losses = model.bbox_head.loss(**head_inputs, batch_data_samples=samples)
    total, _ = model.parse_losses(losses)
    total.backward()
    hybrid = head_inputs['hybrid']
    logits, boxes = model.bbox_head(head_inputs['hidden_states'], head_inputs['references'])
    hybrid_logits, hybrid_boxes = model.bbox_head(hybrid['hidden_states'], hybrid['references'])
    actual = {
        'loss_total': total, 'all_cls_logits': logits, 'all_boxes': boxes,
        'enc_cls_logits': head_inputs['enc_outputs_class'], 'enc_boxes': head_inputs['enc_outputs_coord'],
        'hybrid_cls_logits': hybrid_logits, 'hybrid_boxes': hybrid_boxes,
        'hybrid_enc_cls_logits': hybrid['enc_outputs_class'],
        'hybrid_enc_boxes': hybrid['enc_outputs_coord'],
    }
    parameters = dict(model.named_parameters())
    renamed = dict(report.renamed)
    for name in case.outputs:
        if name.startswith('loss.'):
            actual[name] = losses[_loss_name(name.removeprefix('loss.'))].squeeze()
        elif name.startswith('grad.'):
            actual[name] = parameters[renamed[name.removeprefix('grad.')]].grad
    assert len(losses) == sum(name.startswith('loss.') for name in case.outputs)
    return actual

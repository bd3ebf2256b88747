"""G2SD against the authors' code: both stages, from their arguments and weights through the converter."""
from __future__ import annotations

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmext.converters import ConversionReport, convert
from mmext.registry import MODELS

from .cases import Case, cases

SHARED = ('img_size', 'patch_size', 'norm_eps', 'in_chans')  # written with the teacher, of both


@pytest.mark.parametrize('case', cases('g2sd'))
def test_case(case: Case) -> None:
    if 'teacher' in case.spec:
        case.check(_generic(case))
    elif 'images' in case.inputs:
        case.check(_specific(case))
    else:
        case.check(_segmentation(case))


def _build(args: dict[str, Any], state: dict[str, Tensor], constructor: str,
           report: ConversionReport | None = None) -> nn.Module:
    cfg, state = convert('g2sd', args, state, constructor, report=report)
    module = MODELS.build(cfg)
    module.load_state_dict(state, strict=True)
    return module


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _gradients(case: Case, module: nn.Module, report: ConversionReport) -> dict[str, Tensor]:
    """Of the official parameters that the case has gradients of."""
    ours = dict(report.renamed)
    return {name: module.get_parameter(ours[name.removeprefix('grad.')]).grad
            for name in case.outputs if name.startswith('grad.')}


def _generic(case: Case) -> dict[str, Tensor]:
    """Stage 1."""
    shared = {name: case.spec['teacher'][name] for name in SHARED if name in case.spec['teacher']}
    masking = dict(mask_ratio=case.spec['mask_ratio'])
    state, report = case.state({}), ConversionReport()
    teacher = _build(case.spec['teacher'] | masking, _under('teacher.', state), 'MaskedAutoencoderViT').eval()
    student = _build(shared | case.spec['student'] | masking, _under('student.', state),
                     'MaskedAutoencoderViT', report).train()
    caught = [_catch_qkv(model.backbone.layers) for model in (student, teacher)]
    images, noise = case.inputs['images'], case.inputs['noise']
    with torch.no_grad():
        target = teacher.hidden(images, noise)
    ours = student.hidden(images, noise)
    encoder, decoder = student.encoder_mlp(ours.latent), student.decoder_mlp(ours.decoder)
    decoder, decoder_target = (student.supervised(tokens, ours.mask) for tokens in (decoder, target.decoder))
    loss = MODELS.build(dict(type='mmext.HiddenFeatureLoss'))
    loss_decoder = loss(decoder, decoder_target)
    actual = {
        'loss_encoder': loss(encoder, target.prenorm), 'loss_decoder': loss_decoder, 'mask': ours.mask,
        'student_encoder_pred': encoder, 'student_encoder_prenorm': ours.prenorm,
        'student_decoder_pred': decoder, 'teacher_decoder_hidden': decoder_target,
        'teacher_encoder_prenorm': target.prenorm}
    for name in (name for name in case.outputs if name.startswith('relation_loss_Ar')):
        heads = int(name.removeprefix('relation_loss_Ar'))
        relation = MODELS.build(dict(type='mmext.QKVRelationLoss', loss_weight=1.0, relation_heads=heads))
        actual[name] = relation(*caught)
    loss_decoder.backward()
    return actual | _gradients(case, student, report)


def _catch_qkv(layers: nn.ModuleList) -> list[tuple[Tensor, ...]]:
    """A list that every layer's queries, keys and values are put into when they are computed."""
    caught: list[tuple[Tensor, ...]] = []
    for layer in layers:
        layer.attn.qkv.register_forward_hook(
            lambda module, inputs, output: caught.append(output.chunk(3, dim=-1)))
    return caught


def _specific(case: Case) -> dict[str, Tensor]:
    """Stage 2, classification: the student, or a plain ViT, its teacher."""
    report = ConversionReport()
    model = _build(case.args, case.state({}), 'VisionTransformer', report).eval()
    images = case.inputs['images']
    if not case.args['distillation']:
        return {'logits': model(images)}
    head, target = model.head, case.inputs['target']
    logits, dist_logits = head.scores(model.extract_feat(images))
    teacher = case.inputs['teacher_logits']
    if target.is_floating_point():
        ground_truth = -(target * logits.log_softmax(1)).sum(1).mean()
    else:
        ground_truth = F.cross_entropy(logits, target)
    distilled = MODELS.build(dict(type='mmext.HardLabelLoss'))(dist_logits, teacher)
    actual = {
        'logits': logits, 'dist_logits': dist_logits, 'loss_gt': ground_truth, 'loss_dis': distilled,
        'loss': (ground_truth + distilled) / 2}
    for name in (name for name in case.outputs if name.startswith('nkd')):
        settings = {key: float(value) for key, value in re.findall(r'_(temp|alpha)([\d.]+)', name)}
        actual[name] = MODELS.build(dict(type='mmext.NKDLoss', **settings))(logits, teacher, target)
    for name, average in (('eval_avg', True), ('eval_cls_only', False)):
        head.average = average
        actual[name] = model(images)
    actual['loss'].backward()
    return actual | _gradients(case, model, report)


def _segmentation(case: Case) -> dict[str, Tensor]:
    """Stage 2, losses of segmentation."""
    actual = {}
    for name, constructor in (('cwd', 'ChannelWiseDivergence'), ('kl', 'KLDivergence')):
        loss = _build(case.args, _under(f'{name}.', case.state({})), constructor)
        student = case.inputs['student'].clone().requires_grad_()
        actual[name] = loss(student, case.inputs['teacher'])
        actual[name].sum().backward()
        actual[f'grad.{name}'] = student.grad
    return actual

"""G2SD against the authors' code: both stages, from their arguments and weights through the converter."""
from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmext.converters import convert
from mmext.registry import MODELS

from .cases import Case, cases

ENCODER = ('img_size', 'patch_size', 'norm_eps')


@pytest.mark.parametrize('case', cases('g2sd'))
def test_case(case: Case) -> None:
    if 'teacher' in case.spec:
        case.check(_generic(case))
    elif 'teacher_logits' in case.inputs:
        case.check(_specific(case))
    else:
        case.check(_segmentation(case))


def _build(args: dict[str, Any], state: dict[str, Tensor], constructor: str) -> nn.Module:
    cfg, state = convert('g2sd', args, state, constructor)
    module = MODELS.build(cfg)
    module.load_state_dict(state, strict=True)
    return module


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _generic(case: Case) -> dict[str, Tensor]:
    """Stage 1."""
    shared = {name: case.spec['teacher'][name] for name in ENCODER}
    shared['mask_ratio'] = case.spec['mask_ratio']
    state = case.state({})
    teacher = _build(case.spec['teacher'] | shared, _under('teacher.', state), 'MaskedAutoencoderViT').eval()
    student = _build(case.spec['student'] | shared, _under('student.', state), 'MaskedAutoencoderViT').train()
    caught = [_catch_qkv(model.backbone.layers) for model in (student, teacher)]
    images, noise = case.inputs['images'], case.inputs['noise']
    with torch.no_grad():
        target = teacher.hidden(images, noise)
    ours = student.hidden(images, noise)
    encoder, decoder = student.encoder_mlp(ours.latent), student.decoder_mlp(ours.decoder)
    decoder, decoder_target = (student.supervised(tokens, ours.mask) for tokens in (decoder, target.decoder))
    loss = MODELS.build(dict(type='mmext.HiddenFeatureLoss'))
    loss_decoder = loss(decoder, decoder_target)
    relation = MODELS.build(dict(type='mmext.QKVRelationLoss', loss_weight=1.0, relation_heads=2))
    actual = {
        'loss_encoder': loss(encoder, target.prenorm), 'loss_decoder': loss_decoder, 'mask': ours.mask,
        'student_encoder_pred': encoder, 'student_encoder_prenorm': ours.prenorm,
        'student_decoder_pred': decoder, 'teacher_decoder_hidden': decoder_target,
        'teacher_encoder_prenorm': target.prenorm, 'relation_loss_Ar2': relation(*caught)}
    loss_decoder.backward()
    for name in case.outputs:
        if name.startswith('grad.'):
            actual[name] = student.neck.get_parameter(name.removeprefix('grad.')).grad
    return actual


def _catch_qkv(layers: nn.ModuleList) -> list[tuple[Tensor, ...]]:
    """A list that every layer's queries, keys and values are put into when they are computed."""
    caught: list[tuple[Tensor, ...]] = []
    for layer in layers:
        layer.attn.qkv.register_forward_hook(
            lambda module, inputs, output: caught.append(output.chunk(3, dim=-1)))
    return caught


def _specific(case: Case) -> dict[str, Tensor]:
    """Stage 2, classification."""
    model = _build(case.args, case.state({}), 'VisionTransformer').eval()
    head, target = model.head, case.inputs['target']
    logits, dist_logits = head.scores(model.extract_feat(case.inputs['images']))
    teacher = case.inputs['teacher_logits']
    if target.is_floating_point():
        ground_truth = -(target * logits.log_softmax(1)).sum(1).mean()
    else:
        ground_truth = F.cross_entropy(logits, target)
    distilled = MODELS.build(dict(type='mmext.HardLabelLoss'))(dist_logits, teacher)
    actual = {
        'logits': logits, 'dist_logits': dist_logits, 'loss_gt': ground_truth, 'loss_dis': distilled,
        'loss': (ground_truth + distilled) / 2, 'eval_avg': model(case.inputs['images']),
        'nkd': MODELS.build(dict(type='mmext.NKDLoss'))(logits, teacher, target),
        'nkd_temp2_alpha1.5': MODELS.build(dict(type='mmext.NKDLoss', temp=2.0, alpha=1.5))(
            logits, teacher, target)}
    head.average = False
    actual['eval_cls_only'] = model(case.inputs['images'])
    return actual


def _segmentation(case: Case) -> dict[str, Tensor]:
    """Stage 2, losses of segmentation."""
    actual = {}
    for name, constructor in (('cwd', 'ChannelWiseDivergence'), ('kl', 'KLDivergence')):
        loss = _build(case.args, _under(f'{name}.', case.state({})), constructor)
        student = case.inputs['student'].clone().requires_grad_()
        actual[name] = loss(student, case.inputs['teacher'])
        actual[name].backward()
        actual[f'grad.{name}'] = student.grad
    return actual

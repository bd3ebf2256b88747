"""Rotated DETRs against the authors' code, from their arguments and weights through the converter."""
from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from mmrotate.structures.bbox import RotatedBoxes
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from mmext.converters import convert
from mmext.models.layers.rotated_decoder import as_component_box, rotated_locations
from mmext.models.layers.rotated_denoising import RotatedCdnQueryGenerator
from mmext.models.layers.rotated_rtdetr import ResNetVD
from mmext.models.task_modules.rotated_assigner import assign_groups
from mmext.models.task_modules.rotated_geometry import canonical, gaussian_distance, prob_iou
from mmext.registry import MODELS, TASK_UTILS
from tests.parity.cases import OWN_GOLDENS, Case, cases

_F32 = ('_f32', )


def _build(case: Case) -> nn.Module:
    cfg, state = convert('rotated_detr', case.args, case.state({}), case.constructor)
    cfg.pop('data_preprocessor', None)
    module = MODELS.build(cfg)
    module.load_state_dict(state, strict=True)
    return module.eval()


@pytest.mark.parametrize('case', cases('rotated_detr'))
def test_parity(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    if 'module' not in case.spec:
        actual = _locations(case) if 'offsets' in case.inputs else _costs_and_losses(case)
        _check_double(case, actual)
    elif 'dn.bboxes' in case.inputs:
        case.check(_adaptive(case))
    elif case.constructor == 'RotatedMultiScaleDeformableAttention':
        case.check(_attention(case))
    elif case.constructor == 'RotatedCdnQueryGenerator':
        case.check(_denoising(case, monkeypatch))
    else:
        actual = {**_inference(case), **_training(case, monkeypatch)}
        _align_ties(case, actual)
        case.check(actual)


def _check_double(case: Case, actual: dict[str, Tensor]) -> None:
    """As ``Case.check``; outputs of float32 code have their own tolerance."""
    expected, tolerance = case.outputs, case.spec['tolerance']
    assert set(expected) <= set(actual), sorted(set(expected) - set(actual))
    for name, reference in expected.items():
        limits = tolerance['f32'] if name.endswith(_F32) else {
            key: tolerance[key] for key in ('atol', 'rtol')}
        torch.testing.assert_close(actual[name].detach().reshape(reference.shape), reference, **limits,
                                   msg=lambda text, name=name: f'{case}: {name}: {text}')


def _locations(case: Case) -> dict[str, Tensor]:
    reference, offsets = case.inputs['reference'], case.inputs['offsets']

    def horizontal(box: Tensor) -> Tensor:
        box = box[:, :, None, :, None]
        return box[..., :2] + offsets / offsets.shape[-2] * box[..., 2:] / 2

    aspect = case.spec['image_width'] / case.spec['image_height']
    straight = torch.cat((reference[..., :4], torch.zeros_like(reference[..., 4:])), -1)
    assert torch.allclose(rotated_locations(straight, offsets, aspect), horizontal(reference[..., :4]))
    return {'official': horizontal(as_component_box(reference)),
            'design_exact': rotated_locations(reference, offsets, aspect),
            'horizontal': horizontal(reference[..., :4])}


def _converted(constructor: str, **args: Any) -> Any:
    cfg, _ = convert('rotated_detr', args, {}, constructor)
    registry = TASK_UTILS if constructor.endswith('Cost') else MODELS
    return registry.build(cfg)


def _costs_and_losses(case: Case) -> dict[str, Tensor]:
    inputs, spec = case.inputs, case.spec
    pred, gt = InstanceData(bboxes=inputs['pred']), InstanceData(bboxes=inputs['gt'])
    meta, angle = dict(img_shape=spec['img_shape']), dict(angle_factor=spec['angle_factor'])
    gd = dict(loss_type='kld', sqrt=False)
    costs = {
        'rbox_l1': _converted('RBoxL1Cost', weight=5., box_format='xywha', **angle),
        'center_l1': _converted('CenterL1Cost', weight=5.),
        'kld_log1p_tau1': _converted('GDCost', fun='log1p', tau=1, weight=2., **gd),
        'kld_sqrt_none': _converted('GDCost', loss_type='kld', fun='none', tau=0, sqrt=True),
        'kld_alpha': _converted('GDCost', fun='sqrt', tau=2, alpha=2., **gd),
        'chamfer': _converted('ChamferCost', weight=5., box_format='xywha'),
        'rotated_iou_f32': _converted('RotatedIoUCost', weight=2.),
        'design_periodic_l1': TASK_UTILS.build(dict(type='mmext.RBoxL1Cost', weight=5., **angle)),
        'design_hausdorff4_px': TASK_UTILS.build(dict(type='mmext.HausdorffCost')),
        'design_chamfer_px': TASK_UTILS.build(dict(type='mmext.ChamferCost')),
        'design_gwd_raw': TASK_UTILS.build(dict(
            type='mmext.GDCost', loss_type='gwd', fun='none', tau=0, normalize=False)),
        'design_gwd_log1p_tau1': TASK_UTILS.build(dict(type='mmext.GDCost', loss_type='gwd')),
    }
    for points in (4, spec['num_points']):
        costs[f'hausdorff{points}'] = _converted('HausdorffCost', num_points=points, weight=5.)
    actual = {f'cost.{name}': cost(pred, gt, meta) for name, cost in costs.items()}
    single = [InstanceData(bboxes=one.bboxes.float()) for one in (pred, gt)]
    for name in ('hausdorff4', 'kld_log1p_tau1'):
        actual[f'cost.{name}_f32'] = costs[name](*single, meta)
    for kind in ('gwd', 'kld', 'jd', 'kld_symmax', 'kld_symmin'):
        sqrt = {} if kind == 'gwd' else dict(sqrt=False)
        actual.update(_gaussian(case, kind, 'recipe', dict(fun='log1p', tau=1, **sqrt)))
        actual.update(_gaussian(case, kind, 'plain', dict(fun='none', tau=0)))
    actual.update(_kalman(case))
    for name, loss in (('vfl_host', MODELS.build(dict(type='mmdet.VarifocalLoss'))),
                       ('vfl_rtdetr', _converted('RTDETRVarifocalLoss')),
                       ('mal_deim', _converted('MALLoss'))):
        logits = inputs['logits'].clone().requires_grad_()
        value = loss(logits, inputs['quality'], avg_factor=3)
        value.backward()
        actual[f'loss.{name}'], actual[f'grad.{name}'] = value, logits.grad
    for name, arguments in (('detr', (True, 0.)), ('oc', (False, -torch.pi / 2)),
                            ('le90', (True, -torch.pi / 2)), ('le135', (True, -torch.pi / 4))):
        actual[f'regularized.{name}'] = canonical(inputs['raw'], *arguments)
    rows = len(inputs['weight'])
    actual['similarity.probiou'] = prob_iou(inputs['pred'][:, None], inputs['gt'])
    actual['similarity.probiou_aligned'] = prob_iou(inputs['pred'][:rows], inputs['gt'][:rows])
    return actual


def _gaussian(case: Case, kind: str, variant: str, args: dict[str, Any]) -> dict[str, Tensor]:
    weight = case.inputs['weight']
    pred, gt = case.inputs['pred'][:len(weight)].clone().requires_grad_(), case.inputs['gt'][:len(weight)]
    value = _converted('GDLoss', loss_type=kind, loss_weight=2., **args)(pred, gt, weight, avg_factor=3)
    value.backward()
    each = _converted('GDLoss', loss_type=kind, reduction='none', **args)(pred, gt)
    return {f'loss.{kind}.{variant}': value, f'grad.{kind}.{variant}': pred.grad,
            f'loss_none.{kind}.{variant}': each}


def _kalman(case: Case) -> dict[str, Tensor]:
    """KFLoss is mmrotate's own; ours must leave it as it is."""
    rows = len(case.inputs['weight'])
    pred = case.inputs['pred'][:rows].clone().requires_grad_()
    gt = case.inputs['gt'][:rows]
    loss = MODELS.build(dict(type='mmrotate.KFLoss', fun='none'))
    value = loss(pred / 100, gt / 100, pred_decode=pred, targets_decode=gt).sum()
    value.backward()
    return {'loss.kf': value, 'grad.kf': pred.grad}


def _cost(text: str) -> dict[str, Any]:
    """A cost as the case writes it: 'focal 2', 'Hausdorff(4) 5', 'KLD(log1p, tau 1, sqrt False) 5'."""
    name, options, weight = re.fullmatch(r'(\w+)(?:\((.*)\))? ([\d.]+)', text).groups()  # type: ignore
    kinds = dict(focal='FocalLossCost', Hausdorff='HausdorffCost', Chamfer='ChamferCost', KLD='GDCost',
                 L1='RBoxL1Cost', IoU='RotatedIoUCost')
    cost: dict[str, Any] = dict(type=kinds[name], weight=float(weight))
    if name == 'Hausdorff' and options:
        cost['num_points'] = int(options)
    elif name == 'KLD':
        fun, tau, sqrt = (part.split()[-1] for part in options.split(','))
        cost.update(loss_type='kld', fun=fun, tau=float(tau), sqrt=sqrt == 'True')
    return cost


def _adaptive(case: Case) -> dict[str, Tensor]:
    inputs, meta = case.inputs, dict(img_shape=case.spec['img_shape'])
    costs = [_cost(one) for one in re.findall(r'\w+(?:\([^)]*\))? [\d.]+', case.args['costs'])]
    assigner = TASK_UTILS.build(
        convert('rotated_detr', dict(match_costs=costs), {}, 'DNGroupHungarianAssigner')[0])
    gt = InstanceData(bboxes=inputs['gt.bboxes'], labels=inputs['gt.labels'])
    of = {name: InstanceData(bboxes=inputs[f'{name}.bboxes'], scores=inputs[f'{name}.scores'])
          for name in ('dn', 'pred')}
    denoising = assigner.cost(of['dn'], gt, meta).unflatten(0, (case.args['num_groups'], -1))
    matching = assigner.cost(of['pred'], gt, meta)
    return {'cost_dn': denoising, 'cost_match': matching, 'dn_gt_inds': assign_groups(denoising, matching),
            'match_gt_inds': assigner.assign(of['pred'], gt, meta).gt_inds}


def _attention(case: Case) -> dict[str, Tensor]:
    attention, inputs = _build(case), case.inputs
    reference, mask = inputs.pop('reference'), inputs.pop('mask').bool()
    return {f'ref{dims}': attention(**inputs, key_padding_mask=mask, reference_points=reference[..., :dims])
            for dims in (2, 4, 5)}


def _replay(monkeypatch: pytest.MonkeyPatch, drawn: dict[str, Tensor]) -> None:
    """Random numbers as the authors' code drew them, in its order."""
    queue = [value for _, value in sorted(drawn.items(), key=lambda item: int(item[0].split('_')[0]))]

    def draw(like: Tensor, *_: Any, **__: Any) -> Tensor:
        value = queue.pop(0)
        assert value.shape == like.shape, f'drew {tuple(like.shape)}, stored {tuple(value.shape)}'
        return value.clone()

    monkeypatch.setattr(torch, 'rand_like', draw)
    monkeypatch.setattr(torch, 'randint_like', draw)


def _samples(case: Case, metas: list[dict[str, Any]]) -> list[DetDataSample]:
    samples = []
    for index, meta in enumerate(metas):
        gt = InstanceData(bboxes=RotatedBoxes(case.inputs[f'gt{index}.bboxes'].clone()),
                          labels=case.inputs[f'gt{index}.labels'])
        samples.append(DetDataSample(metainfo={
            key: tuple(value) for key, value in meta.items()}, gt_instances=gt))
    return samples


def _denoising(case: Case, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    actual = {}
    samples = _samples(case, [dict(img_shape=shape) for shape in case.spec['image_shapes']])
    for mode in sorted({name.split('.')[0] for name in case.outputs}):
        cfg, state = convert('rotated_detr', {**case.args, 'noise_mode': mode}, case.state({}),
                             case.constructor)
        generator = MODELS.build(cfg)
        generator.load_state_dict(state)
        prefix = f'{mode}.random.'
        with monkeypatch.context() as patch:
            _replay(patch, {name.removeprefix(prefix): value for name, value in case.inputs.items()
                            if name.startswith(prefix)})
            content, logits, mask, meta = generator(samples)
        actual.update({f'{mode}.label_query': content, f'{mode}.bbox_query': logits,
                       f'{mode}.attn_mask': mask, f'{mode}.groups': torch.tensor(list(meta.values()))})
    return actual


def _inference(case: Case) -> dict[str, Tensor]:
    model, samples = _build(case), _samples(case, case.spec['metas'])
    with torch.no_grad():
        maps = model.extract_feat(case.inputs['img'])
        head_inputs = model.forward_transformer(maps, samples)
        logits, boxes = model.bbox_head(**head_inputs)
        found = model.bbox_head.predict(**head_inputs, batch_data_samples=samples, rescale=True)
    # Some record only the layers that count.
    kept = len(case.outputs['cls'])
    actual = {'feat_last': maps[-1], 'cls': logits[-kept:], 'box': boxes[-kept:]}
    for index, one in enumerate(found):
        actual.update({f'det{index}.{name}': one[name] for name in ('bboxes', 'scores', 'labels')})
    return actual


def _training(case: Case, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    model, samples = _build(case), _samples(case, case.spec['metas'])
    model.training = model.bbox_head.training = model.decoder.training = True
    actual: dict[str, Tensor] = {}
    original = RotatedCdnQueryGenerator.__call__
    drawn = {name.removeprefix('dn_random.'): value for name, value in case.inputs.items()
             if name.startswith('dn_random.')}

    def generate(self: RotatedCdnQueryGenerator, batch: list[DetDataSample]) -> tuple[Any, ...]:
        with monkeypatch.context() as patch:
            _replay(patch, drawn)
            content, logits, mask, meta = original(self, batch)
        actual.update({'dn.label_query': content, 'dn.bbox_query': logits, 'dn.attn_mask': mask,
                       'dn.groups': torch.tensor(list(meta.values()))})
        return content, logits, mask, meta

    monkeypatch.setattr(RotatedCdnQueryGenerator, '__call__', generate)
    losses = model.loss(case.inputs['img'], samples)
    total = torch.stack([loss.sum() for loss in losses.values()]).sum()
    total.backward()
    gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    # A normaliser that is averaged over processes makes a loss of one number a vector.
    actual.update({f'loss.{name}': value.reshape(case.outputs[f'loss.{name}'].shape)
                   for name, value in losses.items() if f'loss.{name}' in case.outputs})
    actual['loss_total'] = total.reshape(case.outputs['loss_total'].shape)
    actual['grad_norms'] = torch.stack([
        gradients[name].norm() if name in gradients else torch.zeros(())
        for name in case.spec['grad_norm_names']])
    actual.update({f'grad.{name}': value for name, value in gradients.items()})
    assert set(losses) == {name.removeprefix('loss.') for name in case.outputs if name.startswith('loss.')}
    return actual


def _align_ties(case: Case, actual: dict[str, Tensor]) -> None:
    """Detections whose scores tie may come in any order: put ours in the order of the case."""
    for index in range(len(case.spec['metas'])):
        keys = [f'det{index}.{name}' for name in ('labels', 'bboxes', 'scores')]
        theirs = {key: case.outputs[key] for key in keys}
        far = ((actual[keys[0]][:, None] != theirs[keys[0]]) * 1e6
               + (actual[keys[1]][:, None] - theirs[keys[1]]).abs().sum(-1)
               + 1e3 * ((actual[keys[2]][:, None] - theirs[keys[2]]).abs() > 1e-4))
        order = torch.from_numpy(linear_sum_assignment(far.T.numpy())[1])
        actual.update({key: actual[key][order] for key in keys})


def test_distance_of_a_needle_is_finite() -> None:
    needles = torch.tensor([[50., 50., 3000., 0.01, angle] for angle in torch.linspace(0, 3, 50)])
    for kind in ('kld', 'gwd', 'jd'):
        assert gaussian_distance(needles[:, None], needles, kind).isfinite().all()


def test_the_shallow_real_time_backbones_have_the_authors_keys() -> None:
    """Their first block projects without pooling before, so nothing precedes the convolution."""
    backbone = ResNetVD(depth=18, base_channels=4, stem_channels=4)
    downsample = [key for key in backbone.state_dict() if key.startswith('layer1.0.downsample.')]
    assert backbone.layer1[0].downsample[0].weight.shape == (4, 4, 1, 1)
    assert {key.split('.')[3] for key in downsample} == {'0', '1'}


def test_options_of_the_real_time_detector() -> None:
    config = Case('rotated_detr', OWN_GOLDENS / 'rotated_detr/o2_rtdetr.json').args
    config['bbox_head']['loss_cls'].update(
        type='projects.rotated_rtdetr.rotated_rtdetr.varifocal_loss.DEIMMalLoss',
        varifocal_loss_iou_type='prob_iou', gamma=1.5)
    config['encoder'].update(pe_temperature=20., encode_before_fpn=False, use_encoder_idx=[1, 2],
                             num_encoder_layers=[1, 2])
    config['encoder']['fpn_cfg'].update(num_csp_blocks=2, act_cfg=dict(type='ReLU'))
    del config['dn_cfg']['noise_mode']
    cfg, _ = convert('rotated_detr', config, {}, 'RotatedRTDETR')
    assert cfg['dn_cfg']['noise_mode'] == 'only_xywh'  # the authors' default
    assert cfg['bbox_head']['loss_cls']['type'] == 'mmext.MatchabilityAwareLoss'
    cfg.pop('data_preprocessor')
    model: Any = MODELS.build(cfg)
    assert [len(block.layers) for block in model.encoder.transformer_blocks] == [1, 2]
    assert {len(block.blocks) for block in model.encoder.fpn.top_down_blocks} == {2}
    maps = tuple(torch.randn(1, 32, 2 * side, side) for side in (8, 4, 2))
    after = model.encoder(maps)
    model.encoder.attention_first = True
    before = model.encoder(maps)
    assert [one.shape for one in after] == [one.shape for one in maps]
    assert not torch.allclose(after[0], before[0])

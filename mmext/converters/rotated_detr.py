"""Rotated DETRs: arguments and weights of the ai4rs and RHINO repositories.

Arguments are the model's dict in the authors' config files; types with or without module path. All
parameters keep their names, so published files load as they are; what changes is the config.
"""
from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from .base import ConversionReport, Converter, Rule, take

_DETECTORS: dict[str, tuple[str, dict[str, Any]]] = {
    'RotatedDINO': ('mmext.RotatedDINO', dict(angle='add', sampling='official')),
    'RotatedDeformableDETR': ('mmext.RotatedDeformableDETR', dict(angle='fresh', sampling='none')),
    'DeformableDETR': ('mmext.RotatedDeformableDETR', dict(angle='fresh', sampling='none')),
    'RotatedRTDETR': ('mmext.RotatedRTDETR', dict(angle='add', sampling='official')),
}
_HEADS: dict[str, dict[str, Any]] = {
    'RotatedDeformableDETRHead': dict(type='mmext.RotatedDeformableDETRHead'),
    'RotatedDINOHead': dict(type='mmext.RotatedDINOHead'),
    'RHINOPositiveHungarianClassificationHead': dict(type='mmext.RotatedDINOHead', adaptive_dn='phc'),
    'RHINOPositiveHungarianHead': dict(type='mmext.RotatedDINOHead', adaptive_dn='ph'),
    'RotatedRTDETRHead': dict(type='mmext.RotatedDINOHead', eps=1e-3),
}
_L1 = dict(type='mmext.RBoxL1Cost', periodic=False)
_POINTS = dict(space='normalized')
_COSTS: dict[str, dict[str, Any]] = {
    'RBoxL1Cost': _L1,
    'CenterL1Cost': dict(type='mmext.CenterL1Cost'),
    'GDCost': dict(type='mmext.GDCost'),
    'HausdorffCost': dict(type='mmext.HausdorffCost', **_POINTS),
    'ChamferCost': dict(type='mmext.ChamferCost', **_POINTS),
    'RotatedIoUCost': dict(type='mmext.RotatedIoUCost'),
}
_LOSSES: dict[str, dict[str, Any]] = {
    'GDLoss': dict(type='mmext.GaussianLoss', tau=0., sqrt=True),
    'RTDETRVarifocalLoss': dict(type='mmext.RTDETRVarifocalLoss', quality='hbox_iou'),
    'DEIMMalLoss': dict(type='mmext.MatchabilityAwareLoss', quality='hbox_iou', alpha=0.75, gamma=2.),
    'MALLoss': dict(type='mmext.MatchabilityAwareLoss', quality='hbox_iou'),
}
_ATTENTION, _DENOISING = 'RotatedMultiScaleDeformableAttention', 'RotatedCdnQueryGenerator'
_ASSIGNER = 'DNGroupHungarianAssigner'
_GROUPS = ('dynamic', 'num_groups', 'num_dn_queries')


def _needs(args: Mapping[str, Any], *keys: str) -> None:
    for key in keys:
        if key not in args:
            raise UserError(f"rotated_detr: no '{key}' is given: the weights do not tell the model; save "
                            "`model` of the authors' config as JSON for --args model.json")


class RotatedDETRConverter(Converter):
    """Detectors; their attention, denoising generator, costs and losses alone."""

    method = 'rotated_detr'
    constructors = (*_DETECTORS, _ATTENTION, _DENOISING, _ASSIGNER, *_COSTS, *_LOSSES)

    def config(self, args: Mapping[str, Any], constructor: str, target: str,
               report: ConversionReport) -> dict[str, Any]:
        """See :meth:`.Converter.config`."""
        args = known = copy.deepcopy(dict(args))
        if constructor in _COSTS:
            return _cost({**args, 'type': constructor})
        if constructor in _LOSSES:
            return _loss({**args, 'type': constructor})
        if constructor == _ASSIGNER:
            _needs(args, 'match_costs')
            return dict(type='mmext.RotatedHungarianAssigner',
                        match_costs=[_cost(cost) for cost in args['match_costs']])
        if constructor == _ATTENTION:
            return dict(type='mmext.models.layers.rotated_decoder.RotatedDeformableAttention',
                        sampling='official', **args)
        if constructor == _DENOISING:
            box_space = _space(known)
            from ..models.task_modules.rotated_box_space import RotatedBoxSpace
            return dict(type='mmext.models.layers.rotated_denoising.RotatedCdnQueryGenerator',
                        space=RotatedBoxSpace('add', 'official', **box_space), **_denoising(known, report))
        return self._detector(known, constructor, report)

    def _detector(self, args: dict[str, Any], constructor: str, report: ConversionReport) -> dict[str, Any]:
        kind, box_space = _DETECTORS[constructor]
        _needs(args, 'backbone', 'encoder', 'decoder', 'bbox_head')
        args.pop('type', None)
        head = args['bbox_head']
        head_type = _short(head.pop('type'))
        if head_type not in _HEADS:
            raise UserError(f'rotated_detr: unknown head {head_type}. Known: {", ".join(_HEADS)}')
        box_space = {**box_space, **_space(head)}
        decoder = args['decoder']
        for key in ('angle_factor', 'version'):
            if decoder.pop(key, None) is not None:
                report.arguments.append((f'decoder.{key}', 'in box_space'))
        if args.pop('use_syncbn', False):
            report.arguments.append(('use_syncbn', "say model_wrapper_cfg / sync_bn='torch' in the config"))
        if _short(str(args['backbone']['type'])) == 'ResNetV1dPaddle':
            args['backbone']['type'] = 'mmext.models.layers.rotated_rtdetr.ResNetVD'
        for part in ('backbone', 'neck', 'data_preprocessor'):
            if part in args:
                args[part]['type'] = _host(args[part]['type'])
        if constructor == 'RotatedRTDETR':
            args['encoder'] = _hybrid_encoder(args['encoder'], report)
        if 'dn_cfg' in args:
            args['dn_cfg'] = _denoising(args['dn_cfg'], report)
        losses = {name: _loss(head[name]) for name in ('loss_cls', 'loss_bbox', 'loss_iou') if name in head}
        train = args.get('train_cfg')
        if train:
            if train.pop('dn_assigner', None):
                report.arguments.append(('train_cfg.dn_assigner', 'the costs of the assigner are used'))
            costs = [_cost(cost) for cost in train['assigner']['match_costs']]
            train['assigner'] = dict(type='mmext.RotatedHungarianAssigner', match_costs=costs)
        return {**args, 'type': kind, 'box_space': box_space,
                'bbox_head': {**head, **losses, **_HEADS[head_type]}}

    def rules(self, constructor: str, target: str) -> tuple[Rule, ...]:
        """See :meth:`.Converter.rules`."""
        return (Rule(r'(.+)', r'\1'), )


def _short(name: str) -> str:
    return name.rsplit('.', 1)[-1]


def _host(name: str) -> str:
    """``mmdet.models.backbones.resnet.ResNet`` as ``mmdet.ResNet``; mmext's and bare ones as they are."""
    if name.startswith(('mmext.', 'torch.')):
        return name
    host = name.split('.')[0] if '.' in name else 'mmdet'
    return f'{host}.{_short(name)}'


def _space(part: dict[str, Any]) -> dict[str, Any]:
    """The angle's convention out of a head's or generator's arguments."""
    return {**part.pop('angle_cfg', {}), **{key: part.pop(key) for key in ('angle_factor', ) if key in part}}


def _hybrid_encoder(cfg: dict[str, Any], report: ConversionReport) -> dict[str, Any]:
    """RT-DETR's encoder."""
    cfg = {'use_encoder_idx': [2], **cfg}
    for old, new in (('pe_temperature', 'temperature'), ('encode_before_fpn', 'attention_first')):
        if old in cfg:
            cfg[new] = cfg.pop(old)
    fpn = dict(cfg.pop('fpn_cfg', None) or {})
    for part, where, keys in ((cfg, 'encoder', ('spatial_shapes', 'with_cp', 'init_cfg')),
                              (fpn, 'encoder.fpn_cfg', ('type', 'init_cfg'))):
        for key in keys:
            if part.pop(key, None) is not None:
                report.arguments.append((f'{where}.{key}', 'changes no result'))
    return {**cfg, 'fpn_cfg': fpn or None}


def _denoising(cfg: dict[str, Any], report: ConversionReport) -> dict[str, Any]:
    cfg = {'noise_mode': 'only_xywh', **cfg}
    for key in ('angle_cfg', 'angle_factor', 'type'):
        cfg.pop(key, None)
    groups = dict(cfg.get('group_cfg') or {})
    for key in set(groups) - set(_GROUPS):
        del groups[key]
        report.arguments.append((f'dn_cfg.group_cfg.{key}', 'nothing reads it there, officially'))
    return {**cfg, 'group_cfg': groups}


def _cost(cfg: dict[str, Any]) -> dict[str, Any]:
    cfg = dict(cfg)
    name = _short(cfg.pop('type'))
    cfg.pop('box_format', None)
    if name not in _COSTS:
        return {**cfg, 'type': f'mmdet.{name}'}
    return {**_COSTS[name], **cfg}


def _loss(cfg: dict[str, Any]) -> dict[str, Any]:
    cfg = dict(cfg)
    kind = cfg.pop('type')
    name = _short(kind)
    if name not in _LOSSES:
        cfg.pop('varifocal_loss_iou_type', None)  # RT-DETR's head takes it out, whatever its loss is
        return {**cfg, 'type': _host(kind)}
    if name == 'GDLoss':
        take(cfg, dict.fromkeys(('loss_type', 'representation', 'fun', 'tau', 'alpha', 'reduction',
                                 'loss_weight', 'sqrt', 'normalize')), name)
        if cfg.pop('representation', 'xy_wh_r') != 'xy_wh_r':
            raise UserError("rotated_detr: GDLoss.representation: only 'xy_wh_r' is a box")
        return {**_LOSSES[name], **cfg}
    for key in ('use_sigmoid', 'iou_weighted', 'reduction'):
        cfg.pop(key, None)
    for key in ('varifocal_loss_iou_type', 'mal_loss_iou_type', 'iou_type'):
        if key in cfg:
            cfg['quality'] = cfg.pop(key)
    return {**_LOSSES[name], **cfg}


CONVERTER = RotatedDETRConverter()

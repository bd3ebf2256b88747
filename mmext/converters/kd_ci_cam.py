"""KD-CI-CAM: arguments and weights of github.com/shaofeifei11/KG-CI-CAM.

The authors keep the context pool in a pickle beside the weights (``mask_train_*.pth`` beside
``net_train_*.pth``). Here it belongs to the state: put it there under the key ``mask``.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from .base import ConversionReport, Converter, Rule, take

_POOL = 'head.context.mask'
# Position of VGG's convolutions and non-local blocks in the authors' Sequential, and what they are here.
_VGG_CONVS = {'cub': (0, 2, 5, 7, 11, 13, 15, 19, 21, 23, 27, 29, 31),
              'imagenet': (0, 2, 5, 7, 10, 12, 14, 18, 20, 22, 26, 28, 30)}
_VGG_BLOCKS = {'cub': {10: 1, 18: 2, 26: 3, 33: 4}, 'imagenet': {17: 2, 25: 3, 32: 4}}
_VGG_EXTRA = {'cub': {}, 'imagenet': {33: 0, 35: 1}}
_FEATURES = (0, 1, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16)
_BACKBONES: dict[str, dict[str, Any]] = {
    'cub': dict(type='mmext.NonLocalVGG16'),
    'imagenet': dict(type='mmext.NonLocalVGG16', non_local_stages=(2, 3, 4), extra_channels=1024),
    'inception': dict(type='mmext.NonLocalInceptionV3')}
_CHANNELS = {'cub': 512, 'imagenet': 1024, 'inception': 768}
_KINDS = {'CUB_VGG16': 'cub', 'CUB_VGG16_Baseline': 'cub', 'CUB_VGG16_0702': 'cub',
          'ImageNet_VGG16': 'imagenet', 'ImageNet_VGG16_Baseline': 'imagenet',
          'ImageNet_VGG16_0702': 'imagenet',
          'CUB_InceptionV3_NonLocal': 'inception', 'CUB_InceptionV3_NonLocal_Baseline': 'inception',
          'CUB_InceptionV3_NonLocal_0702': 'inception'}
_DEFAULTS: dict[str, dict[str, Any]] = {
    'cub': dict(num_classes=200, attention_size=14, crop_size=224),
    'imagenet': dict(num_classes=1000, attention_size=14, crop_size=224),
    'inception': dict(num_classes=200, attention_size=17, crop_size=299)}
_SHARED = dict(
    function='quadratic', mean_num=20, update_rate=0.01, attention=1, seg_thr=0.0, shared_classifier=1,
    combination=1, kd_alpha=0.3, cls_teacher_T=15.0, loc_teacher_T=15.0, kd_fe_loss=1, kd_fe_times=1.0,
    distillation='random')
# What says how they train and not what is computed; our configs say it.
_OF_TRAINING = (
    'dataset', 'backbone', 'backbone_rate', 'batch_size', 'lr', 'epoch', 'decay_epoch', 'decay_rate', 'danet',
    'randAug', 'cls_min_scale', 'cls_max_scale', 'loc_min_scale', 'loc_max_scale', 'cls_teacher_input_size',
    'loc_teacher_input_size', 'clsTea', 'locTea', 'kd_mode', 'kd_fe_zero', 'max_num', 'inception_reduce',
    'input_size', 'scale', 'min_scale', 'max_scale', 'pretrain', 'gpu', 'time', 'model_path', 'ttt',
    'non_local', 'decay', 'model_path_loc', 'input_size_loc', 'cls_selection', 'aux_rate', 'aux_type', 'sgd',
    'cutmix', 'cutmix_prob', 'new_image_backbone', 'backbone_rate_begin', 'spa_loss', 'spa_loss_rate')
_MAP_LOSSES = {1: 'l2', 3: 'prob_kl', 5: 'smooth_l1', 7: 'l1'}
_FUNCTIONS = ('linear', 'quadratic', 'sum_1', 'sum_2')  # any other name is the mean


class KDCICAMConverter(Converter):
    """A network becomes a classifier of mmpretrain; with the target 'distiller', the student of one."""

    method = 'kd_ci_cam'
    constructors = (*_KINDS, 'Self_Attn')
    targets = ('classifier', 'distiller')

    def config(self, args: Mapping[str, Any], constructor: str, target: str,
               report: ConversionReport) -> dict[str, Any]:
        """See :meth:`.Converter.config`."""
        if constructor == 'Self_Attn':
            known = take(args, dict(in_dim=512), constructor)
            return dict(type='mmext.models.distillers.kd_ci_cam.non_local.NonLocalBlock',
                        channels=known['in_dim'])
        kind = _KINDS[constructor]
        report.arguments += [(name, 'of the training: see the configs')
                             for name in args if name in _OF_TRAINING]
        known = take({name: value for name, value in args.items() if name not in _OF_TRAINING},
                     _DEFAULTS[kind] | _SHARED, constructor)
        for name in ('shared_classifier', 'combination'):
            if not known[name]:
                raise UserError(f'kd_ci_cam: {name}={known[name]} cannot be converted; the authors use 1')
        report.arguments.append(('crop_size', "is the size of the network's input, any here"))
        model = self._classifier(known, kind, with_pool=self._has_pool(known, constructor))
        return model if target == 'classifier' else self._distiller(known, model, report)

    @staticmethod
    def _has_pool(args: Mapping[str, Any], constructor: str) -> bool:
        return bool(args['attention']) and not constructor.endswith('_Baseline')

    @staticmethod
    def _classifier(args: Mapping[str, Any], kind: str, with_pool: bool) -> dict[str, Any]:
        function = args['function'] if args['function'] in _FUNCTIONS else 'mean'
        return dict(
            type='mmpretrain.ImageClassifier',
            data_preprocessor=dict(
                type='mmpretrain.ClsDataPreprocessor', num_classes=args['num_classes'],
                mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
            backbone=dict(_BACKBONES[kind]),
            head=dict(
                type='mmext.CICAMHead', num_classes=args['num_classes'], in_channels=_CHANNELS[kind],
                context=dict(size=args['attention_size'], update_rate=args['update_rate'])
                if with_pool else None,
                localizer=dict(seg_thr=args['seg_thr'], function=function, mean_num=args['mean_num'])))

    @staticmethod
    def _distiller(args: Mapping[str, Any], model: dict[str, Any],
                   report: ConversionReport) -> dict[str, Any]:
        if args['kd_fe_loss'] not in _MAP_LOSSES:
            raise UserError(f"kd_ci_cam: kd_fe_loss={args['kd_fe_loss']}: the authors' code has "
                            f'{", ".join(map(str, _MAP_LOSSES))}')
        chosen = {'random': ('cls', 'loc'), 'cls': ('cls', ), 'loc': ('loc', )}.get(args['distillation'])
        if chosen is None:
            raise UserError(f"kd_ci_cam: distillation='{args['distillation']}' makes no distiller (random, "
                            'cls or loc does); take the target classifier')
        report.arguments.append(('clsTea, locTea', 'give teachers.*.checkpoint; they are random here'))
        weight = args['kd_alpha']
        losses = dict(
            cls=dict(loss=dict(type='mmext.TemperedKLLoss', tau=args['cls_teacher_T'], kl_input='prob'),
                     pred='logits', target='cls_logits', weight=weight),
            loc=dict(loss=dict(type='mmext.SigmoidMapLoss', tau=args['loc_teacher_T'],
                               kind=_MAP_LOSSES[args['kd_fe_loss']]),
                     pred='cam', target='loc_cam', weight=weight * args['kd_fe_times']))
        records = dict(cls=('logits', 'head.scores'), loc=('cam', 'head.cam'))
        return dict(
            type='mmext.Distiller',
            student=dict(model, head=dict(model['head'], up_weight=0.)),
            teachers={name: dict(model=model, random=True) for name in chosen},
            records={f'{prefix}{record}': dict(net=net, module=module) for name in chosen
                     for record, module in (records[name], )
                     for prefix, net in (('', 'student'), (f'{name}_', name))},
            losses={f'loss_{name}_kd': losses[name] for name in chosen},
            task_loss=1 - weight, router=dict(type='mmext.SampleRouter'))

    def rules(self, constructor: str, target: str) -> tuple[Rule, ...]:
        """See :meth:`.Converter.rules`."""
        if constructor == 'Self_Attn':
            return (Rule(r'((?:query_conv|key_conv|value_conv|mix_conv|bn)\..+)', r'\1'), )
        to = 'student.' if target == 'distiller' else ''
        return (
            Rule(r'(?:module\.)?up_classifier\.0\.(.+)', rf'{to}head.fc.\1'),
            Rule(r'(?:module\.)?down_classifier\.0\.(.+)', None, 'the same classifier'),
            Rule(r'(?:module\.)?((?:mask2attention|mask_bn)\..+)', rf'{to}head.context.\1'),
            Rule(r'(?:mask|__mask__)', to + _POOL),
            *self._backbone_rules(_KINDS[constructor], to))

    @staticmethod
    def _backbone_rules(kind: str, to: str) -> tuple[Rule, ...]:
        old = r'(?:module\.)?backbone\.'
        if kind == 'inception':
            return (Rule(rf'{old}(?:AuxLogits|Mixed_7\w|fc)\..+', None, 'after the last map that is used'),
                    Rule(rf'{old}((?:Conv2d|Mixed)_.+|nonlocal_.+)', rf'{to}backbone.\1'))
        return (
            *(Rule(rf'{old}conv\.{at}\.(weight|bias)', rf'{to}backbone.features.{ours}.conv.\1')
              for at, ours in zip(_VGG_CONVS[kind], _FEATURES, strict=True)),
            *(Rule(rf'{old}conv\.{at}\.(.+)', rf'{to}backbone.non_local.{stage}.\1')
              for at, stage in _VGG_BLOCKS[kind].items()),
            *(Rule(rf'{old}conv\.{at}\.(weight|bias)', rf'{to}backbone.extra.{ours}.conv.\1')
              for at, ours in _VGG_EXTRA[kind].items()))

    def convert(self, args: Mapping[str, Any], state: Mapping[str, Tensor], constructor: str | None = None,
                target: str | None = None, report: ConversionReport | None = None
                ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :meth:`.Converter.convert`.

        Raises:
            UserError: Also if the pool is not in the state, or the two classifiers are not one.
        """
        for key in [key for key in state if '.down_classifier.' in f'.{key}']:
            other = key.replace('down_classifier', 'up_classifier')
            if other in state and not torch.equal(state[other], state[key]):
                raise UserError(f'kd_ci_cam: {key} differs from {other}; the authors share one classifier')
        report = report if report is not None else ConversionReport()
        cfg, converted = super().convert(args, state, constructor, target, report)
        model = cfg.get('student', cfg)
        if 'head' in model and model['head']['context'] is None:
            unused = {new: old for old, new in report.renamed if 'head.context.' in new}
            report.renamed = [(old, new) for old, new in report.renamed if new not in unused]
            report.dropped += [(old, 'of the context pool, off with attention=0') for old in unused.values()]
            converted = {key: value for key, value in converted.items() if key not in unused}
        pooled = any(key.endswith('head.context.mask2attention.weight') for key in converted)
        if pooled and not any(key.endswith(_POOL) for key in converted):
            raise UserError("kd_ci_cam: the state has no context pool: it is in mask_train_*.pth beside the "
                            "authors' file; add it under the key 'mask' (configs/kd_ci_cam/README.md has the "
                            'lines)')
        return cfg, converted


CONVERTER = KDCICAMConverter()

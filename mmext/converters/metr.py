"""METR: arguments and weights of github.com/isbrycee/METR.

The arguments are those of the authors' config file that shape the model, under the names that the
golden cases have; ``PromptIndicator`` is the category extraction by itself.
"""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError, did_you_mean
from .base import ConversionReport, Converter, Rule, take

_ASL = dict(gamma_pos=0., gamma_neg=2., clip=0., eps=1e-5)
_DETECTOR_DEFAULTS: dict[str, Any] = dict(
    backbone=None, hidden_dim=256, nheads=8, dim_feedforward=2048, enc_layers=6, dec_layers=6,
    num_classes=80, text_dim=512, num_queries=100, topk=20, cem_blocks=2, in_channels=[512, 1024, 2048],
    num_feature_levels=4, n_points=4, num_select=100, pe_temperature=20, dn_number=100,
    prompt_self_attn=False, classifier_num_layers=2, classifier_skip_and_init=False, asl=_ASL,
    loss_coef=dict(cls=2.0, bbox=5.0, giou=2.0, cls_asl=1.0), cost=dict(cls=2.0, bbox=5.0, giou=2.0),
    set_normalization='none', loss_normalization='num_box')
# What the authors divide costs by, and losses.
_SET_NORMALIZATIONS = ('none', 'num_box', 'mean', 'box_average')
_NORMALIZERS = dict(num_box='boxes', mean='queries', none='none')
# Of a golden case's batch, not of the model.
_BATCH = ('padded', 'strides')
_CEM_DEFAULTS: dict[str, Any] = dict(
    hidden_dim=256, nheads=8, dim_feedforward=2048, num_classes=80, text_dim=512, topk_train=20,
    topk_eval=20, num_blocks=2, prompt_self_attn=False, classifier_num_layers=2,
    classifier_skip_and_init=False, asl=_ASL)
_PUBLISHED: dict[str, dict[str, Any]] = {'METR_4scale_coco': dict(backbone='resnet50')}
_BACKBONES: dict[str, dict[str, Any]] = {
    'resnet50': dict(type='mmdet.ResNet', depth=50, num_stages=4, out_indices=(1, 2, 3), frozen_stages=1,
                     norm_cfg=dict(type='mmdet.FrozenBN'), style='pytorch'),
}
_NO_BACKBONE = dict(type='torch.nn.Identity')
_ENCODER = 'ENCODER'  # stands for the index of the encoder's box head, which follows the decoder's
_REPEATED = 'the same weights again'


class METRConverter(Converter):
    """The detector with its backbone or without, and the category extraction."""

    method = 'metr'
    constructors = (*_PUBLISHED, 'METR', 'PromptIndicator')

    def config(self, args: Mapping[str, Any], constructor: str, target: str,
               report: ConversionReport) -> dict[str, Any]:
        """See :meth:`.Converter.config`."""
        if constructor == 'PromptIndicator':
            known = take(args, _CEM_DEFAULTS, constructor)
            return dict(
                type='mmext.CategoryExtraction', num_classes=known['num_classes'],
                embed_dims=known['hidden_dim'],
                **_extraction(known, known['num_blocks'], known['topk_train'], known['topk_eval'], 1.))
        known = take(args, {**_DETECTOR_DEFAULTS, **_PUBLISHED.get(constructor, {}), **dict.fromkeys(_BATCH)},
                     constructor)
        for name, choices in (('set_normalization', _SET_NORMALIZATIONS),
                              ('loss_normalization', _NORMALIZERS)):
            if known[name] not in choices:
                raise UserError(f"metr: {name}='{known[name]}'{did_you_mean(known[name], choices)} expected "
                                f'{", ".join(choices)}')
        report.arguments.append(('set_normalization', 'divides all costs of an image: changes no match'))
        return self._detector(known)

    def _detector(self, args: dict[str, Any]) -> dict[str, Any]:
        dims, heads, levels = args['hidden_dim'], args['nheads'], args['num_feature_levels']
        name = args['backbone']
        if name is not None and name not in _BACKBONES:
            raise UserError(f"metr: unknown backbone '{name}'{did_you_mean(name, _BACKBONES)} Known: "
                            f'{", ".join(_BACKBONES)}, None (its weights are dropped)')
        deformable = dict(embed_dims=dims, num_heads=heads, num_levels=levels, num_points=args['n_points'],
                          dropout=0.)
        ffn = dict(embed_dims=dims, feedforward_channels=args['dim_feedforward'], ffn_drop=0.)
        coef, cost = args['loss_coef'], args['cost']
        # Within a category the authors match with the weights of the losses.
        train = dict(assigner=_assigner(coef))
        if any(cost[name] != coef[name] for name in cost):
            train['enc_assigner'] = _assigner(cost)
        return dict(
            type='mmext.METR',
            backbone=dict(_BACKBONES[name] if name else _NO_BACKBONE),
            neck=dict(
                type='mmdet.ChannelMapper', in_channels=list(args['in_channels']), kernel_size=1,
                out_channels=dims, act_cfg=None, bias=True, norm_cfg=dict(type='GN', num_groups=32),
                num_outs=levels),
            encoder=dict(num_layers=args['enc_layers'],
                         layer_cfg=dict(self_attn_cfg=deformable, ffn_cfg=ffn)),
            decoder=dict(
                num_layers=args['dec_layers'], post_norm_cfg=None,
                layer_cfg=dict(self_attn_cfg=dict(embed_dims=dims, num_heads=heads, dropout=0.),
                               cross_attn_cfg=deformable, ffn_cfg=ffn)),
            positional_encoding=dict(num_feats=dims // 2, normalize=True, offset=0.,
                                     temperature=args['pe_temperature']),
            category_extraction=_extraction(args, args['cem_blocks'], args['topk'], args['topk'],
                                            coef['cls_asl']),
            bbox_head=dict(
                type='mmext.METRHead', num_classes=args['num_classes'], embed_dims=dims, dn_mode='official',
                classifier_layers=args['classifier_num_layers'],
                classifier_skip=args['classifier_skip_and_init'],
                normalizer=_NORMALIZERS[args['loss_normalization']],
                loss_cls=dict(type='mmdet.FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25,
                              loss_weight=coef['cls']),
                loss_bbox=dict(type='mmdet.L1Loss', loss_weight=coef['bbox']),
                loss_iou=dict(type='mmdet.GIoULoss', loss_weight=coef['giou'])),
            num_queries=args['num_queries'],
            num_feature_levels=levels,
            dn_cfg=dict(label_noise_scale=0.5, box_noise_scale=1.0, group_cfg=dict(
                dynamic=True, num_groups=None, num_dn_queries=args['dn_number'])),
            train_cfg=train,
            test_cfg=dict(max_per_img=args['num_select']))

    def rules(self, constructor: str, target: str) -> tuple[Rule, ...]:
        """See :meth:`.Converter.rules`."""
        if constructor == 'PromptIndicator':
            return _extraction_rules('', '')
        return (*_BACKBONE_RULES, *_DETECTOR_RULES)

    def convert(self, args: Mapping[str, Any], state: Mapping[str, Tensor], constructor: str | None = None,
                target: str | None = None, report: ConversionReport | None = None,
                ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :func:`.convert`; repeated weights are compared, the unread row of labels is cut off."""
        report = report if report is not None else ConversionReport()
        cfg, converted = super().convert(args, state, constructor, target, report)
        for key, reason in report.dropped:
            first = re.sub(r'(classifier_label|class_embed|bbox_embed)\.\d+',
                           lambda found: f'{found[1]}.0', key.replace('transformer.decoder.', ''))
            if reason == _REPEATED and not torch.equal(state[key], state.get(first, state[key])):
                raise UserError(f'metr: {key} and {first} differ; the authors share them')
        if cfg['type'] != 'mmext.METR':
            return cfg, converted
        last, maps = str(cfg['decoder']['num_layers']), len(cfg['neck']['in_channels'])

        def final(key: str) -> str:
            key = key.replace(_ENCODER, last)
            found = re.match(r'neck\.convs\.(\d+)', key)
            if found and int(found[1]) >= maps:
                return key.replace(found[0], f'neck.extra_convs.{int(found[1]) - maps}')
            return key

        if cfg['backbone'] == _NO_BACKBONE:
            ours = [key for key in converted if key.startswith('backbone.')]
            report.dropped += [(old, 'no backbone was asked for') for old, new in report.renamed
                               if new in ours]
            report.renamed = [pair for pair in report.renamed if pair[1] not in ours]
            converted = {key: value for key, value in converted.items() if key not in ours}
        report.renamed = [(old, final(new)) for old, new in report.renamed]
        result = {final(key): value for key, value in converted.items()}
        labels = 'dn_query_generator.label_embedding.weight'
        if labels in result:
            result[labels] = result[labels][:cfg['bbox_head']['num_classes']]
        return cfg, result


def _assigner(weights: Mapping[str, float]) -> dict[str, Any]:
    return dict(type='mmdet.HungarianAssigner', match_costs=[
        dict(type='mmdet.FocalLossCost', weight=weights['cls'], eps=1e-8),
        dict(type='mmdet.BBoxL1Cost', weight=weights['bbox'], box_format='xywh'),
        dict(type='mmdet.IoUCost', iou_mode='giou', weight=weights['giou'])])


def _extraction(args: Mapping[str, Any], blocks: int, train: int, test: int, weight: float) -> dict[str, Any]:
    """Arguments of :class:`mmext.CategoryExtraction`, but for the number of classes."""
    return dict(text_dims=args['text_dim'], num_heads=args['nheads'],
                feedforward_channels=args['dim_feedforward'], num_blocks=blocks, topk_train=train,
                topk_test=test, self_attn=args['prompt_self_attn'],
                classifier_layers=args['classifier_num_layers'],
                classifier_skip=args['classifier_skip_and_init'], loss=dict(args['asl'], loss_weight=weight))


def _extraction_rules(old: str, new: str) -> tuple[Rule, ...]:
    return (Rule(rf'{old}(?P<rest>(?:class_prompts|(?:convert_vector|vector_ln|prompt_blocks)\..+))',
                 rf'{new}\g<rest>'),
            Rule(rf'{old}classifier_label\.0\.(?P<rest>.+)', rf'{new}classifier.\g<rest>'),
            Rule(rf'{old}classifier_label\.\d+\..+', None, _REPEATED))


def _boxes(old: str, new: str) -> tuple[Rule, ...]:
    """Three linear layers in a row, with activations between in ours."""
    return tuple(Rule(rf'{old}layers\.{index}\.(?P<rest>.+)', rf'{new}{2 * index}.\g<rest>')
                 for index in range(3))


def _layers(old: str, new: str, names: Mapping[str, str]) -> tuple[Rule, ...]:
    return tuple(Rule(rf'{old}layers\.(?P<layer>\d+)\.{theirs}\.(?P<rest>.+)',
                      rf'{new}layers.\g<layer>.{ours}.\g<rest>') for theirs, ours in names.items())


_FFN = {'linear1': 'ffn.layers.0.0', 'linear2': 'ffn.layers.1'}
_BACKBONE_RULES = (
    Rule(r'backbone\.0\.body\.(?P<rest>.+)', r'backbone.\g<rest>'),
    Rule(r'backbone\.\d+\..+', None, 'position encoding has no weights'),
)
_DETECTOR_RULES = (
    *_extraction_rules(r'transformer\.prompt_indicator\.', 'category_extraction.'),
    Rule(r'input_proj\.(?P<level>\d+)\.0\.(?P<rest>.+)', r'neck.convs.\g<level>.conv.\g<rest>'),
    Rule(r'input_proj\.(?P<level>\d+)\.1\.(?P<rest>.+)', r'neck.convs.\g<level>.gn.\g<rest>'),
    Rule(r'transformer\.level_embed', 'level_embed'),
    Rule(r'transformer\.tgt_embed\.weight', 'query_embedding.weight'),
    Rule(r'label_enc\.weight', 'dn_query_generator.label_embedding.weight'),
    Rule(r'transformer\.enc_output\.(?P<rest>.+)', r'memory_trans_fc.\g<rest>'),
    Rule(r'transformer\.enc_output_norm\.(?P<rest>.+)', r'memory_trans_norm.\g<rest>'),
    Rule(r'transformer\.enc_out_class_embed\.(?P<rest>.+)', r'bbox_head.enc_class.\g<rest>'),
    *_boxes(r'transformer\.enc_out_bbox_embed\.', f'bbox_head.reg_branches.{_ENCODER}.'),
    Rule(r'num_classes_for_CEM_bais', 'bbox_head.enc_bias'),
    Rule(r'transformer\.decoder\.(?:class|bbox)_embed\..+', None, _REPEATED),
    *_boxes(r'bbox_embed\.(?P<layer>\d+)\.', r'bbox_head.reg_branches.\g<layer>.'),
    Rule(r'class_embed\.0\.(?P<rest>.+)', r'bbox_head.classifier.\g<rest>'),
    Rule(r'class_embed\.\d+\..+', None, _REPEATED),
    *_layers(r'transformer\.encoder\.', 'encoder.',
             {'self_attn': 'self_attn', 'norm1': 'norms.0', 'norm2': 'norms.1', **_FFN}),
    *_layers(r'transformer\.decoder\.', 'decoder.',
             {'self_attn': 'self_attn.attn', 'cross_attn': 'cross_attn', 'norm2': 'norms.0',
              'norm1': 'norms.1', 'norm3': 'norms.2', **_FFN}),
    Rule(r'transformer\.decoder\.(?P<rest>(?:ref_point_head|norm)\..+)', r'decoder.\g<rest>'),
)

CONVERTER = METRConverter()

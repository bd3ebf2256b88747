"""Relation-DETR: arguments and weights of github.com/xiuqhou/Relation-DETR.

The authors put a model together from parts in a config file; the arguments here are the variables at
the top of that file (``embed_dim``, ``num_queries``, ...), and for inner modules their constructor's.
Class rows of the released files are category ids (COCO: 91 rows, SA-Det-100k: 2); the target
``detector`` keeps those that are categories, in mmdet's order, ``raw_ids`` keeps all. Any other number
of rows is kept as it is.
"""
from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import UserError, did_you_mean
from .base import ConversionReport, Converter, Rule, take

_DETECTOR_DEFAULTS = dict(
    backbone=None, embed_dim=256, num_heads=8, d_ffn=2048, enc_layers=6, dec_layers=6, num_classes=91,
    num_queries=900, hybrid_num_proposals=1500, hybrid_assign=6, denoising_nums=100,
    neck_in_channels=[512, 1024, 2048], num_feature_levels=4, n_points=4,
    select_box_nums_for_evaluation=300, alpha=0.25, gamma=2.0,
    matcher=dict(cost_class=2, cost_bbox=5, cost_giou=2, focal_alpha=0.25, focal_gamma=2.0),
    loss_weights=dict(loss_class=1, loss_bbox=5, loss_giou=2))
# Of a golden case's batch, not of the model.
_BATCH = ('image_sizes', 'padded', 'strides')
_LAYER_DEFAULTS = dict(embed_dim=256, d_ffn=1024, n_heads=8, dropout=0.1, n_levels=4, n_points=4)
_RELATION_DEFAULTS = dict(embed_dim=256, num_heads=8, temperature=10000., scale=100.)

# The released config files, and what differs from the defaults.
_SWIN = dict(backbone='swin_l', neck_in_channels=[384, 768, 1536])
_PUBLISHED: dict[str, dict[str, Any]] = {
    'relation_detr_resnet50_800_1333': dict(backbone='resnet50'),
    'relation_detr_swin_l_800_1333': _SWIN,
    'relation_detr_resnet50_800_1333_sa_det_100k': dict(backbone='resnet50', num_classes=2),
    'dino_pp_resnet50_800_1333': dict(backbone='resnet50'),
    'relation_detr_focalnet_large_lrf_fl4_1200_2000': dict(
        neck_in_channels=[192, 384, 768, 1536], num_feature_levels=5, denoising_nums=1000),
}
_DINO_PP = 'dino_pp_resnet50_800_1333'
# Decoders and how they differ from Relation-DETR's.
_DECODERS: dict[str, dict[str, Any]] = {
    'RelationTransformerDecoder': {},
    'DINOTransformerDecoder': dict(query_scale=False),
    'DNTransformerDecoder': dict(shared_norm=False, look_forward_twice=False),
    'DABTransformerDecoder': dict(shared_norm=False, look_forward_twice=False),
    'DeformableTransformerDecoder': dict(query_scale=False, shared_norm=False, look_forward_twice=False,
                                         query_pos='initial', relation_in_attention=False),
}
_LAYER = 'RelationTransformerDecoderLayer'
_RELATION = 'PositionRelationEmbedding'
_LAYER_TYPE = 'mmdet.models.layers.transformer.deformable_detr_layers.DeformableDetrTransformerDecoderLayer'

# Categories of COCO among the ids 0 to 90.
_NOT_COCO = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
_COCO_IDS = [index for index in range(91) if index not in _NOT_COCO]
_MERGING = r'^backbone\.stages\.\d\.downsample\.(?:reduction|norm)\.'
_NO_BACKBONE = dict(type='torch.nn.Identity')
_ENCODER = 'ENCODER'  # stands for the index of the encoder's heads, which follow the decoder's
_CLASS_ROWS = (r'bbox_head\.(?:cls_branches\.\d+|hybrid_cls_branch)\.(?:weight|bias)'
               r'|dn_query_generator\.label_embedding\.weight')

_BACKBONES: dict[str, dict[str, Any]] = {
    'resnet50': dict(
        type='mmdet.ResNet', depth=50, num_stages=4, out_indices=(1, 2, 3), frozen_stages=1,
        norm_cfg=dict(type='mmdet.FrozenBN'), style='pytorch'),
    # mmpretrain's, because mmdet's normalises its outputs.
    'swin_l': dict(
        type='mmpretrain.SwinTransformer', arch='large', img_size=224, out_indices=(1, 2, 3),
        drop_path_rate=0.2, frozen_stages=0, norm_cfg=None, pad_small_map=True),
}


def _layer(dims: int, heads: int, ffn: int, levels: int, points: int, dropout: float = 0.) -> dict[str, Any]:
    """Arguments of mmdet's deformable decoder layer."""
    return dict(
        self_attn_cfg=dict(embed_dims=dims, num_heads=heads, dropout=dropout),
        cross_attn_cfg=dict(embed_dims=dims, num_heads=heads, num_levels=levels, num_points=points,
                            dropout=dropout),
        ffn_cfg=dict(embed_dims=dims, feedforward_channels=ffn, ffn_drop=dropout))


class RelationDETRConverter(Converter):
    """Detectors with their backbone or without; decoders with the head beside; inner modules."""

    method = 'relation_detr'
    # The published ones first: without a backbone any of their files would fit.
    constructors = (*_PUBLISHED, 'RelationDETR', *_DECODERS, _LAYER, _RELATION)
    targets = ('detector', 'raw_ids', 'head')

    def config(self, args: Mapping[str, Any], constructor: str, target: str,
               report: ConversionReport) -> dict[str, Any]:
        """See :meth:`.Converter.config`."""
        if target == 'head' and constructor not in _DECODERS:
            raise UserError(f'relation_detr: only decoders have the target head, not {constructor}')
        if constructor == _RELATION:
            known = take(args, _RELATION_DEFAULTS, constructor)
            return dict(type='mmext.PositionRelation', num_heads=known['num_heads'],
                        embed_dims=known['embed_dim'], temperature=known['temperature'],
                        scale=known['scale'])
        if constructor == _LAYER:
            known = take(args, _LAYER_DEFAULTS, constructor)
            return dict(type=_LAYER_TYPE, **_layer(
                known['embed_dim'], known['n_heads'], known['d_ffn'], known['n_levels'],
                known['n_points'], known['dropout']))
        if constructor in _DECODERS:
            known = take(args, {**_LAYER_DEFAULTS, 'dropout': 0., 'num_layers': 6, 'num_classes': 91},
                         constructor)
            if target == 'head':
                return dict(type='mmext.RelationDETRHead', num_classes=known['num_classes'],
                            embed_dims=known['embed_dim'], num_pred_layer=known['num_layers'],
                            as_two_stage=True)
            layer = _layer(known['embed_dim'], known['n_heads'], known['d_ffn'], known['n_levels'],
                           known['n_points'], known['dropout'])
            return dict(type='mmext.models.layers.relation_transformer.RelationTransformerDecoder',
                        num_layers=known['num_layers'], layer_cfg=layer, post_norm_cfg=None,
                        **_DECODERS[constructor])
        defaults = {**_DETECTOR_DEFAULTS, **_PUBLISHED.get(constructor, {}),
                    **dict.fromkeys(_BATCH)}
        return self._detector(take(args, defaults, constructor), constructor, target, report)

    def _detector(self, args: dict[str, Any], constructor: str, target: str,
                  report: ConversionReport) -> dict[str, Any]:
        dims, heads, levels = args['embed_dim'], args['num_heads'], args['num_feature_levels']
        classes = args['num_classes']
        rows = _kept_rows(constructor, classes, target)
        if rows is not None:
            report.arguments.append(('num_classes', f'{len(rows)} of {classes} rows are kept'))
            classes = len(rows)
        name = args['backbone']
        if name is not None and name not in _BACKBONES:
            raise UserError(f"relation_detr: unknown backbone '{name}'{did_you_mean(name, _BACKBONES)} "
                            f'Known: {", ".join(_BACKBONES)}, None (its weights are dropped)')
        backbone = dict(_BACKBONES[name] if name else _NO_BACKBONE)
        layer = _layer(dims, heads, args['d_ffn'], levels, args['n_points'])
        matcher, weights = args['matcher'], args['loss_weights']
        pp = constructor == _DINO_PP
        if pp:
            loss_cls = dict(type='mmdet.FocalLoss', use_sigmoid=True, alpha=args['alpha'],
                            gamma=args['gamma'], loss_weight=weights['loss_class'])
        else:
            loss_cls = dict(type='mmext.DetachedVarifocalLoss', alpha=1 - args['alpha'],
                            gamma=args['gamma'], loss_weight=weights['loss_class'])
        return dict(
            type='mmext.RelationDETR',
            backbone=backbone,
            neck=dict(
                type='mmdet.ChannelMapper', in_channels=list(args['neck_in_channels']), kernel_size=1,
                out_channels=dims, act_cfg=None, norm_cfg=dict(type='GN', num_groups=32),
                num_outs=levels),
            encoder=dict(
                num_layers=args['enc_layers'], memory_fusion=not pp,
                layer_cfg=dict(self_attn_cfg=layer['cross_attn_cfg'], ffn_cfg=layer['ffn_cfg'])),
            decoder=dict(num_layers=args['dec_layers'], layer_cfg=layer, post_norm_cfg=None,
                         query_scale=not pp, position_relation=dict(type='mmext.PositionRelation')),
            positional_encoding=dict(num_feats=dims // 2, normalize=True, offset=-0.5, temperature=10000),
            bbox_head=dict(
                type='mmext.RelationDETRHead', num_classes=classes, embed_dims=dims, loss_cls=loss_cls,
                loss_bbox=dict(type='mmdet.L1Loss', loss_weight=weights['loss_bbox']),
                loss_iou=dict(type='mmdet.GIoULoss', loss_weight=weights['loss_giou'])),
            num_queries=args['num_queries'],
            num_feature_levels=levels,
            hybrid_cfg=None if pp else dict(num_queries=args['hybrid_num_proposals'],
                                            num_assign=args['hybrid_assign']),
            dn_cfg=dict(label_noise_scale=0.5, box_noise_scale=1.0, group_cfg=dict(
                dynamic=True, num_groups=None, num_dn_queries=args['denoising_nums'])),
            train_cfg=dict(assigner=dict(type='mmdet.HungarianAssigner', match_costs=[
                dict(type='mmdet.FocalLossCost', weight=matcher['cost_class'], eps=1e-6,
                     alpha=matcher['focal_alpha'], gamma=matcher['focal_gamma']),
                dict(type='mmdet.BBoxL1Cost', weight=matcher['cost_bbox'], box_format='xywh'),
                dict(type='mmdet.IoUCost', iou_mode='giou', weight=matcher['cost_giou'])])),
            test_cfg=dict(max_per_img=args['select_box_nums_for_evaluation']))

    def rules(self, constructor: str, target: str) -> tuple[Rule, ...]:
        """See :meth:`.Converter.rules`."""
        if constructor == _RELATION:
            return (Rule(r'pos_proj\.0\.(.+)', r'proj.\1'), )
        if constructor == _LAYER:
            return _layer_rules('', '')
        if constructor in _DECODERS:
            if target == 'head':
                return (*_head_rules('', ''), Rule('.+', None, "the decoder's"))
            return (*_decoder_rules('', ''), Rule(r'(?:class|bbox)_head\..+', None, "the head's"))
        return (*_BACKBONE_RULES, *_DETECTOR_RULES)

    def convert(self, args: Mapping[str, Any], state: Mapping[str, Tensor], constructor: str | None = None,
                target: str | None = None, report: ConversionReport | None = None,
                ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :func:`.convert`; besides renaming, class rows are chosen and layouts adapted."""
        report = report if report is not None else ConversionReport()
        cfg, converted = super().convert(args, state, constructor, target, report)
        if cfg['type'] != 'mmext.RelationDETR':
            return cfg, converted
        report.renamed = [(old, _by_counts(new, cfg)) for old, new in report.renamed]
        short = self._known('constructor', constructor, self.constructors)
        classes = {**_DETECTOR_DEFAULTS, **_PUBLISHED.get(short, {}), **args}['num_classes']
        rows = _kept_rows(short, classes, self._known('target', target, self.targets))
        result = {}
        for key, value in converted.items():
            if key.startswith('backbone.') and cfg['backbone'] == _NO_BACKBONE:
                report.dropped.append((key, 'no backbone was asked for'))
                report.renamed = [pair for pair in report.renamed if pair[1] != key]
                continue
            key = _by_counts(key, cfg)
            if rows is not None and re.fullmatch(_CLASS_ROWS, key):
                value = value[rows]
            if key.endswith('relative_position_index'):
                value = value.unflatten(0, (math.isqrt(len(value)), -1))
            result[key] = _unfold_order(value) if re.search(_MERGING, key) else value
        return cfg, result


def _kept_rows(constructor: str, classes: int, target: str) -> list[int] | None:
    """The class rows that are categories; None: all, as they are."""
    if target == 'raw_ids':
        return None
    if constructor.endswith('_sa_det_100k') and classes == 2:
        return [1]
    return _COCO_IDS if classes == 91 else None


def _by_counts(key: str, cfg: Mapping[str, Any]) -> str:
    """The parts of a name that depend on the number of layers and maps."""
    maps = len(cfg['neck']['in_channels'])
    found = re.match(r'neck\.convs\.(\d+)', key)
    if found and int(found[1]) >= maps:
        return key.replace(found[0], f'neck.extra_convs.{int(found[1]) - maps}')
    return key.replace(_ENCODER, str(cfg['decoder']['num_layers']))


def _unfold_order(value: Tensor) -> Tensor:
    """Patch merging of the authors concatenates four pixels, mmpretrain's unfolds: other channels."""
    pixels = value.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
    return pixels.transpose(-1, -2).reshape(value.shape)


def _layer_rules(old: str, new: str) -> tuple[Rule, ...]:
    """A layer of the decoder; the authors' second norm is the one after self-attention."""
    names = {'self_attn': 'self_attn.attn', 'cross_attn': 'cross_attn', 'norm2': 'norms.0',
             'norm1': 'norms.1', 'norm3': 'norms.2', 'linear1': 'ffn.layers.0.0',
             'linear2': 'ffn.layers.1'}
    return tuple(Rule(rf'{old}{theirs}\.(?P<rest>.+)', rf'{new}{ours}.\g<rest>')
                 for theirs, ours in names.items())


def _decoder_rules(old: str, new: str) -> tuple[Rule, ...]:
    return (*_layer_rules(rf'{old}layers\.(?P<layer>\d+)\.', rf'{new}layers.\g<layer>.'),
            Rule(rf'{old}position_relation_embedding\.pos_proj\.0\.(?P<rest>.+)',
                 rf'{new}position_relation.proj.\g<rest>'),
            Rule(rf'{old}(?P<rest>(?:ref_point_head|query_scale|norm)\..+)', rf'{new}\g<rest>'))


def _mlp_rules(old: str, new: str) -> tuple[Rule, ...]:
    """Three linear layers in a row, with activations between in ours."""
    return tuple(Rule(rf'{old}layers\.{i}\.(?P<rest>.+)', rf'{new}{2 * i}.\g<rest>') for i in range(3))


def _head_rules(old: str, new: str) -> tuple[Rule, ...]:
    return (Rule(rf'{old}class_head\.(?P<layer>\d+)\.(?P<rest>.+)',
                 rf'{new}cls_branches.\g<layer>.\g<rest>'),
            *_mlp_rules(rf'{old}bbox_head\.(?P<layer>\d+)\.', rf'{new}reg_branches.\g<layer>.'))


def _swin_rules() -> tuple[Rule, ...]:
    names = {'norm1': 'norm1', 'attn': 'attn.w_msa', 'norm2': 'norm2', r'mlp\.0': 'ffn.layers.0.0',
             r'mlp\.3': 'ffn.layers.1'}
    blocks = tuple(
        Rule(rf'backbone\.features\.{2 * stage + 1}\.(\d+)\.{theirs}\.(.+)',
             rf'backbone.stages.{stage}.blocks.\1.{ours}.\2')
        for stage in range(4) for theirs, ours in names.items())
    merging = tuple(Rule(rf'backbone\.features\.{2 * stage + 2}\.(.+)',
                         rf'backbone.stages.{stage}.downsample.\1') for stage in range(3))
    return (Rule(r'backbone\.features\.0\.0\.(.+)', r'backbone.patch_embed.projection.\1'),
            Rule(r'backbone\.features\.0\.2\.(.+)', r'backbone.patch_embed.norm.\1'),
            *blocks, *merging)


_BACKBONE_RULES = (
    Rule(r'(backbone\.(?:conv1|bn1|layer\d)\..+)', r'\1'),
    *_swin_rules(),
    Rule(r'backbone\..+', None, 'of a backbone that no host has'))
_DETECTOR_RULES = (
    Rule('_classes_', None, 'names of the classes; a config has them'),
    Rule(r'neck\.convs\.(\d)\.0\.(.+)', r'neck.convs.\1.conv.\2'),
    Rule(r'neck\.convs\.(\d)\.1\.(.+)', r'neck.convs.\1.gn.\2'),
    Rule(r'transformer\.level_embeds', 'level_embed'),
    Rule(r'transformer\.enc_output\.(.+)', r'memory_trans_fc.\1'),
    Rule(r'transformer\.enc_output_norm\.(.+)', r'memory_trans_norm.\1'),
    Rule(r'transformer\.tgt_embed\.(.+)', r'query_embedding.\1'),
    Rule(r'transformer\.hybrid_tgt_embed\.(.+)', r'hybrid_embedding.\1'),
    Rule(r'transformer\.hybrid_class_head\.(.+)', r'bbox_head.hybrid_cls_branch.\1'),
    *_mlp_rules(r'transformer\.hybrid_bbox_head\.', 'bbox_head.hybrid_reg_branch.'),
    Rule(r'transformer\.encoder_class_head\.(.+)', rf'bbox_head.cls_branches.{_ENCODER}.\1'),
    *_mlp_rules(r'transformer\.encoder_bbox_head\.', f'bbox_head.reg_branches.{_ENCODER}.'),
    *_head_rules(r'transformer\.decoder\.', 'bbox_head.'),
    *_decoder_rules(r'transformer\.decoder\.', 'decoder.'),
    Rule(r'transformer\.(encoder\.memory_fusion\..+)', r'\1'),
    *(Rule(rf'transformer\.encoder\.layers\.(\d+)\.{theirs}\.(.+)', rf'encoder.layers.\1.{ours}.\2')
      for theirs, ours in {'self_attn': 'self_attn', 'norm1': 'norms.0', 'norm2': 'norms.1',
                           'linear1': 'ffn.layers.0.0', 'linear2': 'ffn.layers.1'}.items()),
    Rule(r'denoising_generator\.label_encoder\.(.+)', r'dn_query_generator.label_embedding.\1'))

CONVERTER = RelationDETRConverter()

"""CGG: arguments and weights of github.com/jianzongwu/betrayed-by-captions (CC BY-NC 4.0).

The arguments are those of the authors' config file that shape the model, or of a golden case; the
names of the classes, which their files keep elsewhere, may be given as ``classes`` and
``base_classes``.
"""
from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError
from .base import ConversionReport, Converter, Rule, take

_HEAD = 'Mask2FormerHeadOpen'
_FUSION = 'MaskFormerFusionHeadOpen'
_LOSS = 'GroundingLoss'
_DETECTOR = 'Mask2FormerOpen'
#: OVIS: what the released R50 model is made of.
_PUBLISHED = 'coco_b48n17'
_WORDS = 'bert_embeddings.word_embeddings.weight'
_NORM = ('bert_embeddings.LayerNorm.weight', 'bert_embeddings.LayerNorm.bias')
_NOT_READ = 'its loss has weight 0 and nothing else reads it'
_FIXED = dict(class_agnostic=False, use_class_emb=True, caption_emb_type='bert', caption_gen_emb_type='bert')
_HEAD_DEFAULTS: dict[str, Any] = dict(
    type=_HEAD, in_channels=[256, 512, 1024, 2048], strides=[4, 8, 16, 32], feat_channels=256,
    out_channels=256, num_things_classes=48, num_stuff_classes=0, num_queries=100,
    num_transformer_feat_level=3,
    pixel_decoder=None, enforce_decoder_input_project=False, positional_encoding=None,
    transformer_decoder=None, caption_generator=None, loss_cls=None, loss_cls_emb=None,
    loss_grounding=None, loss_caption_generation=None, loss_mask=None, loss_dice=None,
    class_to_emb_file=None, known_file=None, unknown_file=None, softmax_temperature=10.,
    pred_emb_norm=False, text_emb_norm=True, use_caption=True, use_caption_generation=True,
    loss_aux_weight=1., loss_only_last=False, train_cfg=None, test_cfg=None, classes=None, base_classes=None,
    **_FIXED)
_FUSION_DEFAULTS: dict[str, Any] = dict(
    num_things=48, num_stuff=0, object_mask_thr=0.8, iou_thr=0.8, filter_low_score=True,
    stuff_area_limit=4096, max_per_image=100, img_shape=None, ori_shape=None, instance_offset=1000)


class CGGConverter(Converter):
    """The head, which the released detectors are with a torchvision ResNet in front."""

    method = 'cgg'
    constructors = (_PUBLISHED, _DETECTOR, _HEAD, _FUSION, _LOSS)
    targets = ('model', 'mask2former')

    def convert(self, args: Mapping[str, Any], state: Mapping[str, Tensor], constructor: str | None = None,
                target: str | None = None, report: ConversionReport | None = None,
                ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :func:`.convert`; classes are told by their embeddings where there are no names.

        With the target 'mask2former' mmdet's own head with the linear classifier is made, for a
        class-agnostic model.
        """
        report = report if report is not None else ConversionReport()
        constructor = self._known('constructor', constructor or _constructor(args), self.constructors)
        if constructor == _LOSS:
            return super().convert(args, state, constructor, target, report)
        detector = constructor in (_PUBLISHED, _DETECTOR)
        state = {re.sub('^panoptic_fusion_head[.]', 'fusion.', key): value for key, value in state.items()}
        prefix = 'panoptic_head.' if detector else ''
        words = state.get(prefix + _WORDS)
        embeddings = state.get('fusion.all_class_embs', state.get('all_class_embs'))
        base_rows = None
        if embeddings is not None:
            embeddings = embeddings[:-1]
            base = state.get('fusion.base_class_embs', state.get('base_class_embs'))
            base_rows = None if base is None else _rows(base[:-1], embeddings)
        given = dict(args)
        if embeddings is not None and constructor != _FUSION and not given.get('classes'):
            given['classes'] = [f'class {row}' for row in range(len(embeddings))]
            given['base_classes'] = [given['classes'][row] for row in base_rows or ()] or None
        if constructor == _FUSION:
            given['_base_rows'] = base_rows
        if words is not None:
            given['_words'] = tuple(words.shape)
        target = self._known('target', target, self.targets)
        classifier = state.get(f'{prefix}cls_embed.weight')
        if target == 'mask2former' and classifier is not None:
            # A class-agnostic model has one class, all of them things.
            given.setdefault('num_things_classes', len(classifier) - 1 - given.get('num_stuff_classes', 0))
        cfg, converted = super().convert(given, state, constructor, target, report)
        if target == 'mask2former' or constructor == _FUSION:
            return cfg, converted
        if words is not None:
            # The LayerNorm of BERT's embeddings never changes: it is applied once and for all.
            if args.get('text_emb_norm', True):
                weight, bias = (state[prefix + name] for name in _NORM)
                words = F.layer_norm(words, words.shape[1:], weight, bias, 1e-12)
            head = cfg['panoptic_head'] if detector else cfg
            if head['loss_grounding'] or head['caption_generator']:
                converted[f'{prefix}word_embeddings'] = words
        if embeddings is not None:
            converted[f'{prefix}class_embeddings'] = embeddings
            trained = state.get(f'{prefix}class_embs')
            head = cfg['panoptic_head'] if detector else cfg
            rows = [head['classes'].index(name) for name in head['base_classes'] or head['classes']]
            if trained is not None and not torch.equal(trained[:-1], embeddings[rows]):
                raise UserError('cgg: the base classes of the head are not those of the fusion head')
        return cfg, converted

    def config(self, args: Mapping[str, Any], constructor: str, target: str,
               report: ConversionReport) -> dict[str, Any]:
        """See :meth:`.Converter.config`."""
        if constructor == _LOSS:
            known = take(args, dict(type=_LOSS, temperature=10., loss_weight=2.), constructor)
            return dict(type='mmext.GroundingLoss', temperature=known['temperature'],
                        loss_weight=known['loss_weight'])
        if constructor == _FUSION:
            known = take(args, {**_FUSION_DEFAULTS, '_base_rows': None}, constructor)
            return dict(
                type='mmext.CGGFusionHead', num_things_classes=known['num_things'],
                num_stuff_classes=known['num_stuff'],
                test_cfg={key: known[key] for key in ('object_mask_thr', 'iou_thr', 'filter_low_score',
                                                      'stuff_area_limit', 'max_per_image')})
        words = args.get('_words', (30522, 768))
        own = {key: value for key, value in args.items() if key != '_words'}
        known = take(own, _HEAD_DEFAULTS, constructor)
        for name, value in _FIXED.items():
            if known[name] != value and target != 'mask2former':
                raise UserError(f'cgg: {name}={known[name]!r} is not of the released CGG models ({value!r})')
        head = _mask2former(known) if target == 'mask2former' else _head(known, words)
        if constructor == _HEAD:
            return head
        test = dict(head.pop('test_cfg') or {}, instance_on=True, panoptic_on=False)
        kind: dict[str, Any] = dict(type='mmext.CGG')
        if target == 'mask2former':
            kind = dict(type='mmdet.Mask2Former', panoptic_fusion_head=dict(
                type='mmdet.MaskFormerFusionHead', num_things_classes=head['num_things_classes'],
                num_stuff_classes=head['num_stuff_classes'], loss_panoptic=None))
            test = dict(dict(max_per_image=100, iou_thr=0.8, filter_low_score=True), **test,
                        semantic_on=False)
        return dict(
            **kind,
            data_preprocessor=dict(
                type='mmdet.DetDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                bgr_to_rgb=True, pad_size_divisor=32, pad_mask=True),
            backbone=dict(type='mmdet.ResNet', depth=50, frozen_stages=3, norm_eval=True,
                          norm_cfg=dict(type='BN', requires_grad=False), style='pytorch'),
            panoptic_head=head, train_cfg=head.pop('train_cfg'), test_cfg=test)

    def rules(self, constructor: str, target: str) -> tuple[Rule, ...]:
        """See :meth:`.Converter.rules`."""
        prefix = r'panoptic_head\.' if constructor in (_PUBLISHED, _DETECTOR) else ''
        new = prefix.replace('\\', '')
        keep = r'(?:query_embed|query_feat|level_embed|mask_embed|decoder_input_projs)\..+'
        encoder, decoder, captions = (
            rf'{prefix}{part}' for part in (r'pixel_decoder\.encoder\.layers\.(\d+)\.',
                                            r'transformer_decoder\.layers\.(\d+)\.',
                                            r'caption_generator\.transformer_decoder\.decoders\.(\d+)\.'))
        pixel, layers = rf'{new}pixel_decoder.encoder.layers.\1.', rf'{new}transformer_decoder.layers.\1.'
        out = rf'{new}caption_generator.layers.\1.'
        common = (
            Rule(rf'{encoder}attentions\.0\.(.+)', rf'{pixel}self_attn.\2'),
            Rule(rf'{encoder}ffns\.0\.(.+)', rf'{pixel}ffn.\2'),
            Rule(rf'{decoder}attentions\.0\.(.+)', rf'{layers}cross_attn.\2'),
            Rule(rf'{decoder}attentions\.1\.(.+)', rf'{layers}self_attn.\2'),
            Rule(rf'{decoder}ffns\.0\.(.+)', rf'{layers}ffn.\2'),
            Rule(rf'(backbone\..+|{prefix}(?:pixel_decoder|transformer_decoder)\..+|{prefix}{keep})', r'\1'),
            Rule(r'(?:fusion\.)?(?:all|novel|base)_class_embs|.*\.?class_embs', None,
                 'told by class_embeddings'),
            Rule(rf'{prefix}bert_embeddings\..+', None, 'made into word_embeddings'),
        )
        if target == 'mask2former':
            return (*common, Rule(rf'({prefix}cls_embed\..+)', r'\1'),
                    Rule(rf'{prefix}(?:v2l_transform|caption_generator)\..+', None, 'not of Mask2Former'))
        return (
            *common,
            Rule(rf'{prefix}cls_embed\..+', None, _NOT_READ),
            Rule(rf'{prefix}v2l_transform\.(.+)', rf'{new}cls_embed.\1'),
            Rule(rf'{captions}mha_layer\.qkv_layer\.(.+)', rf'{out}self_attn.qkv.\2'),
            Rule(rf'{captions}mha_layer\.out_layer\.(.+)', rf'{out}self_attn.proj.\2'),
            Rule(rf'{captions}crx_layer\.to_qry\.(.+)', rf'{out}cross_attn.query.\2'),
            Rule(rf'{captions}crx_layer\.to_key\.(.+)', rf'{out}cross_attn.key.\2'),
            Rule(rf'{captions}crx_layer\.to_val\.(.+)', rf'{out}cross_attn.value.\2'),
            Rule(rf'{captions}crx_layer\.to_out\.(.+)', rf'{out}cross_attn.proj.\2'),
            Rule(rf'{captions}ffn_layer\.linears\.0\.0\.(.+)', rf'{out}ffn.0.\2'),
            Rule(rf'{captions}ffn_layer\.linears\.1\.0\.(.+)', rf'{out}ffn.3.\2'),
            *(Rule(rf'{captions}layer_normalz\.{name}\.[01]\.(.+)', rf'{out}norms.{index}.\2')
              for index, name in enumerate(('mha', 'crx', 'ffn'))),
            Rule(rf'{prefix}caption_generator\.position_encoder\..+', None, 'computed'),
            Rule(rf'{prefix}(caption_generator\.generator\..+)', rf'{new}\1'),
        )


def _constructor(args: Mapping[str, Any]) -> str | None:
    """By the arguments, where nothing says it."""
    if 'num_things' in args:
        return _FUSION
    if 'loss_weight' in args:
        return _LOSS
    return args.get('type')


def _rows(part: Tensor, whole: Tensor) -> list[int]:
    """Rows of ``whole`` (K, D) that ``part`` has, in its order."""
    equal = (part[:, None] == whole).all(dim=2)
    if not equal.any(dim=1).all():
        raise UserError('cgg: a base class has an embedding that none of all classes has')
    return equal.int().argmax(dim=1).tolist()


def _mask2former(args: Mapping[str, Any]) -> dict[str, Any]:
    """mmdet's head."""
    dims = args['feat_channels']
    pixel, decoder = args['pixel_decoder'], args['transformer_decoder']
    encoder = (pixel or {}).get('encoder', {}).get('transformerlayers')
    names = ('embed_dims', 'num_heads', 'num_levels', 'num_points', 'dropout')
    deformable = _only(encoder['attn_cfgs'], *names) \
        if encoder else dict(embed_dims=dims, num_heads=8, num_levels=3, num_points=4, dropout=0.)
    inner = encoder['ffn_cfgs']['feedforward_channels'] if encoder else 1024
    layer = (decoder or {}).get('transformerlayers')
    heads = layer['attn_cfgs']['num_heads'] if layer else 8
    ffn = layer['ffn_cfgs']['feedforward_channels'] if layer else 2048
    sine = dict(args['positional_encoding'] or dict(num_feats=dims // 2, normalize=True))
    sine.pop('type', None)
    train, test = args['train_cfg'], args['test_cfg']
    head = dict(
        type='mmdet.Mask2FormerHead', in_channels=list(args['in_channels']), strides=list(args['strides']),
        feat_channels=dims, out_channels=args['out_channels'],
        num_things_classes=args['num_things_classes'], num_stuff_classes=args['num_stuff_classes'],
        num_queries=args['num_queries'], num_transformer_feat_level=args['num_transformer_feat_level'],
        enforce_decoder_input_project=args['enforce_decoder_input_project'],
        pixel_decoder=dict(
            type='mmdet.MSDeformAttnPixelDecoder', num_outs=(pixel or {}).get('num_outs', 3),
            norm_cfg=(pixel or {}).get('norm_cfg', dict(type='GN', num_groups=32)),
            act_cfg=dict(type='ReLU'),
            encoder=dict(
                num_layers=pixel['encoder']['num_layers'] if pixel else 6,
                layer_cfg=dict(
                    self_attn_cfg=dict(deformable, batch_first=True),
                    ffn_cfg=dict(
                        embed_dims=dims, num_fcs=2, ffn_drop=0., act_cfg=dict(type='ReLU', inplace=True),
                        feedforward_channels=inner))),
            positional_encoding=dict(sine)),
        positional_encoding=dict(sine),
        transformer_decoder=dict(
            return_intermediate=True, num_layers=decoder['num_layers'] if decoder else 9, init_cfg=None,
            layer_cfg=dict(
                self_attn_cfg=dict(embed_dims=dims, num_heads=heads, dropout=0., batch_first=True),
                cross_attn_cfg=dict(embed_dims=dims, num_heads=heads, dropout=0., batch_first=True),
                ffn_cfg=dict(embed_dims=dims, feedforward_channels=ffn, num_fcs=2, ffn_drop=0.,
                             act_cfg=dict(type='ReLU', inplace=True)))),
        loss_cls=_loss(args['loss_cls'] or dict(
            type='CrossEntropyLoss', use_sigmoid=False, loss_weight=2.,
            class_weight=[1.] * (args['num_things_classes'] + args['num_stuff_classes']) + [0.1])),
        loss_mask=_loss(args['loss_mask'] or dict(
            type='CrossEntropyLoss', use_sigmoid=True, loss_weight=5.)),
        loss_dice=_loss(args['loss_dice'] or dict(type='DiceLoss', use_sigmoid=True, activate=True,
                                                  naive_dice=True, eps=1., loss_weight=5.)),
        train_cfg=_train_cfg(train, 'cls_cost'),
        test_cfg=_only(test, 'max_per_image', 'iou_thr', 'filter_low_score', 'object_mask_thr',
                       'stuff_area_limit') if test else None)
    return head


def _head(args: Mapping[str, Any], words: Sequence[int]) -> dict[str, Any]:
    """Ours, over mmdet's."""
    head = _mask2former(args)
    if args['loss_cls'] is not None and args['loss_cls'].get('loss_weight', 1.):
        raise UserError(f"cgg: loss_cls.loss_weight={args['loss_cls'].get('loss_weight', 1.)}: expected 0 as "
                        "in the released models; for a class-agnostic model use the target 'mask2former'")
    total = head.pop('num_things_classes') + head['num_stuff_classes']
    classes = args['classes'] or [f'class {row}' for row in range(total)]
    captions = args['caption_generator'] or dict(nb_layers=4, hidden_dim=words[1], ff_dim=512, nb_heads=8,
                                                 drop_val=0.1, seq_length=35)
    if captions.get('input_dim', words[1]) != captions['hidden_dim'] or captions['hidden_dim'] != words[1]:
        raise UserError(f'cgg: caption_generator: expected input_dim and hidden_dim {words[1]}, those of '
                        'the words')
    grounding = _only(args['loss_grounding'] or dict(loss_weight=2.), 'loss_weight', 'temperature')
    head.update(
        type='mmext.CGGHead', classes=list(classes), base_classes=args['base_classes'], text_dims=words[1],
        train_cfg=_train_cfg(args['train_cfg'], 'cls_emb_cost'),
        temperature=float(args['softmax_temperature']), pred_emb_norm=args['pred_emb_norm'],
        num_tokens=words[0], caption_length=captions['seq_length'],
        loss_cls=None if args['loss_cls_emb'] is None else _loss(args['loss_cls_emb']),
        loss_grounding=dict(type='mmext.GroundingLoss', **grounding) if args['use_caption'] else None,
        loss_aux_weight=args['loss_aux_weight'], loss_only_last=args['loss_only_last'],
        caption_generator=dict(
            type='mmext.CaptionTransformer', num_layers=captions['nb_layers'],
            feedforward_channels=captions['ff_dim'], num_heads=captions['nb_heads'],
            dropout=captions['drop_val'], pre_norm=captions.get('pre_norm', False))
        if args['use_caption_generation'] else None,
        loss_caption=(args['loss_caption_generation'] or dict(loss_weight=2.))['loss_weight'])
    return head


def _only(args: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: args[name] for name in names if name in args}


def _loss(cfg: Mapping[str, Any]) -> dict[str, Any]:
    return {**cfg, 'type': f"mmdet.{cfg['type']}"}


def _train_cfg(official: Mapping[str, Any] | None, cost: str) -> dict[str, Any]:
    """Their assigner sums two costs of classes: of the linear classifier, and of text (``cost``)."""
    costs = copy.deepcopy(dict(official['assigner'])) if official else {}
    weight = costs.get(cost, dict(weight=2.))['weight']
    mask = dict(costs.get('mask_cost', dict(weight=5., use_sigmoid=True)), type='mmdet.CrossEntropyLossCost')
    dice = dict(costs.get('dice_cost', dict(weight=5., pred_act=True, eps=1.)), type='mmdet.DiceCost')
    return dict(
        **_only(official or dict(num_points=12544, oversample_ratio=3., importance_sample_ratio=.75),
                'num_points', 'oversample_ratio', 'importance_sample_ratio'),
        assigner=dict(type='mmdet.HungarianAssigner', match_costs=[
            dict(type='mmdet.ClassificationCost', weight=weight), mask, dice]),
        sampler=dict(type='mmdet.MaskPseudoSampler'))


CONVERTER = CGGConverter()

"""MGD: weights and settings of github.com/JayQine/MGD-SSSS.

A checkpoint holds two or three networks, ``branch1`` (the one that is trained), ``branch2`` and
``branch3``; the first becomes an mmseg segmentor. The constructors are named after the folders of
the authors' experiments, because the class is called ``Network`` in all of them.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from .base import ConversionReport, Converter, Rule, take

_ROOT = 'mmext.models.distillers.mgd'
_BACKBONES: dict[str, dict[str, Any]] = {
    'resnet18_deeplabv3plus': dict(depth=18, deep_stem=True),
    'resnet101_deeplabv3plus': dict(depth=101, deep_stem=True, stem_channels=128),
    'wresnet34_deeplabv3plus': dict(depth=50, base_channels=128, expansion=2),
}
_CHANNELS = {'resnet18_deeplabv3plus': [64, 512]}
_ASPP_DEFAULTS = dict(in_channels=None, out_channels=None, dilation_rates=(12, 24, 36), hidden_channels=256,
                      pooling_size=None)
_TRAIN_DEFAULTS = dict(lambda_1=0.002, lambda_2=100.0, ignore_index=255, region_grid=(7, 7))
_OWN = r'(?:module\.)?(?:branch1\.)?'
_LAYER = r'backbone\.(layer\d\.\d+)'


class MGDConverter(Converter):
    """A network becomes an mmseg EncoderDecoder, the training loop's settings our loss."""

    method = 'mgd'
    constructors = (*_BACKBONES, 'ASPP', 'train')
    targets = ('segmentor', )

    def config(self, args: Mapping[str, Any], constructor: str, target: str,
               report: ConversionReport) -> dict[str, Any]:
        """See :meth:`.Converter.config`."""
        if constructor == 'ASPP':
            known = take(args, _ASPP_DEFAULTS, 'ASPP')
            if known.pop('pooling_size') is not None:
                raise UserError('mgd: ASPP with a pooling_size cannot be converted; the authors use None')
            return dict(type=f'{_ROOT}.networks.CPSASPP', **known)
        if constructor == 'train':
            known = take(args, _TRAIN_DEFAULTS, 'train')
            report.arguments += [('lambda_1', 'is lambda_sem'), ('lambda_2', 'is lambda_region')]
            return dict(
                type='mmext.MultiGranularityLoss', lambda_sem=known['lambda_1'],
                lambda_region=known['lambda_2'], ignore_index=known['ignore_index'],
                region_grid=tuple(known['region_grid']), constant_terms=True)
        known = take(args, dict(num_classes=21, bn_momentum=0.1, bn_eps=1e-5), constructor)
        norm = dict(type='BN', eps=known['bn_eps'], momentum=known['bn_momentum'])
        return dict(
            type='mmseg.EncoderDecoder',
            data_preprocessor=dict(
                type='mmseg.SegDataPreProcessor', mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375], bgr_to_rgb=True, pad_val=0, seg_pad_val=255),
            backbone=dict(type='mmext.MultiGridResNet', norm_cfg=norm, **_BACKBONES[constructor]),
            decode_head=dict(
                type='mmext.CPSDeepLabHead', num_classes=known['num_classes'], norm_cfg=norm,
                in_channels=_CHANNELS.get(constructor, [256, 2048])),
            train_cfg=dict(), test_cfg=dict(mode='whole'))

    def rules(self, constructor: str, target: str) -> tuple[Rule, ...]:
        """See :meth:`.Converter.rules`."""
        if constructor == 'ASPP':
            return (Rule(r'((?:map_convs|global_pooling_conv|red_conv|pool_red_conv|map_bn|'
                         r'global_pooling_bn|red_bn)\..+)', r'\1'), )
        if constructor == 'train':
            return ()
        stem = 'deep_stem' in _BACKBONES[constructor]
        first = (
            Rule(rf'{_OWN}backbone\.conv1\.0\.(.+)', r'backbone.stem.0.conv.\1'),
            Rule(rf'{_OWN}backbone\.conv1\.1\.(.+)', r'backbone.stem.0.bn.\1'),
            Rule(rf'{_OWN}backbone\.conv1\.3\.(.+)', r'backbone.stem.1.conv.\1'),
            Rule(rf'{_OWN}backbone\.conv1\.4\.(.+)', r'backbone.stem.1.bn.\1'),
            Rule(rf'{_OWN}backbone\.conv1\.6\.(.+)', r'backbone.stem.2.conv.\1'),
            Rule(rf'{_OWN}backbone\.bn1\.(.+)', r'backbone.stem.2.bn.\1'),
        ) if stem else (Rule(rf'{_OWN}backbone\.((?:conv1|bn1)\..+)', r'backbone.\1'), )
        return (
            Rule(r'(?:module\.)?branch[23]\..+', None, 'another network; convert its own checkpoint'),
            Rule(rf'{_OWN}backbone\.fc\..+', None, 'the ImageNet classifier, unused'),
            *first,
            Rule(rf'{_OWN}{_LAYER}\.((?:conv\d|bn\d|downsample\.\d)\..+)', r'backbone.\1.\2'),
            Rule(rf'{_OWN}head\.((?:aspp|reduce|last_conv)\..+)', r'decode_head.\1'),
            Rule(rf'{_OWN}classifier\.(.+)', r'decode_head.conv_seg.\1'),
            Rule(rf'{_OWN}business_layer\..+', None, 'a second name of the head'),
        )


CONVERTER = MGDConverter()

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
_MOBILE = 'mobilev2_deeplabv3plus'
_HEADS: dict[str, dict[str, Any]] = {
    'resnet18_deeplabv3plus': dict(in_channels=[64, 512]),
    _MOBILE: dict(in_channels=[24, 320], in_index=[0, 1], low_channels=24)}
# The authors number MobileNetV2's blocks through; mmseg counts them by stage, of so many blocks.
_MOBILE_STAGES = (1, 2, 3, 4, 3, 3, 1)
_ASPP_DEFAULTS = dict(in_channels=None, out_channels=None, dilation_rates=(12, 24, 36), hidden_channels=256,
                      pooling_size=None)
_TRAIN_DEFAULTS = dict(lambda_1=0.002, lambda_2=100.0, ignore_index=255, region_grid=(7, 7))
_OWN = r'(?:module\.)?(?:branch1\.)?'
_LAYER = r'backbone\.(layer\d\.\d+)'


class MGDConverter(Converter):
    """A network becomes an mmseg EncoderDecoder, the training loop's settings our loss."""

    method = 'mgd'
    constructors = (*_BACKBONES, _MOBILE, 'ASPP', 'train')
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
            backbone=dict(type='mmext.MultiGridMobileNetV2', norm_cfg=norm) if constructor == _MOBILE else
            dict(type='mmext.MultiGridResNet', norm_cfg=norm, **_BACKBONES[constructor]),
            decode_head=dict(
                type='mmext.CPSDeepLabHead', num_classes=known['num_classes'], norm_cfg=norm,
                **_HEADS.get(constructor, dict(in_channels=[256, 2048]))),
            train_cfg=dict(), test_cfg=dict(mode='whole'))

    def rules(self, constructor: str, target: str) -> tuple[Rule, ...]:
        """See :meth:`.Converter.rules`."""
        if constructor == 'ASPP':
            return (Rule(r'((?:map_convs|global_pooling_conv|red_conv|pool_red_conv|map_bn|'
                         r'global_pooling_bn|red_bn)\..+)', r'\1'), )
        if constructor == 'train':
            return ()
        first = self._mobile_rules() if constructor == _MOBILE else (
            Rule(rf'{_OWN}backbone\.conv1\.0\.(.+)', r'backbone.stem.0.conv.\1'),
            Rule(rf'{_OWN}backbone\.conv1\.1\.(.+)', r'backbone.stem.0.bn.\1'),
            Rule(rf'{_OWN}backbone\.conv1\.3\.(.+)', r'backbone.stem.1.conv.\1'),
            Rule(rf'{_OWN}backbone\.conv1\.4\.(.+)', r'backbone.stem.1.bn.\1'),
            Rule(rf'{_OWN}backbone\.conv1\.6\.(.+)', r'backbone.stem.2.conv.\1'),
            Rule(rf'{_OWN}backbone\.bn1\.(.+)', r'backbone.stem.2.bn.\1'),
        ) if 'deep_stem' in _BACKBONES[constructor] else (
            Rule(rf'{_OWN}backbone\.((?:conv1|bn1)\..+)', r'backbone.\1'), )
        return (
            Rule(r'(?:module\.)?branch[23]\..+', None, 'another network; convert its own checkpoint'),
            Rule(rf'{_OWN}backbone\.(?:fc|classifier)\..+', None, 'the ImageNet classifier, unused'),
            *first,
            Rule(rf'{_OWN}{_LAYER}\.((?:conv\d|bn\d|downsample\.\d)\..+)', r'backbone.\1.\2'),
            Rule(rf'{_OWN}head\.((?:aspp|reduce|last_conv)\..+)', r'decode_head.\1'),
            Rule(rf'{_OWN}classifier\.(.+)', r'decode_head.conv_seg.\1'),
            Rule(rf'{_OWN}business_layer\..+', None, 'a second name of the head'),
        )

    @staticmethod
    def _mobile_rules() -> tuple[Rule, ...]:
        # of each block: the place of a layer in the authors' Sequential, ours, and its name
        first = ((r'0\.0', 0, 'conv'), (r'0\.1', 0, 'bn'), ('1', 1, 'conv'), ('2', 1, 'bn'))
        others = (*first[:2], (r'1\.0', 1, 'conv'), (r'1\.1', 1, 'bn'), ('2', 2, 'conv'), ('3', 2, 'bn'))
        places = [(stage + 1, block) for stage, count in enumerate(_MOBILE_STAGES) for block in range(count)]
        return (
            Rule(rf'{_OWN}backbone\.features\.0\.0\.(.+)', r'backbone.conv1.conv.\1'),
            Rule(rf'{_OWN}backbone\.features\.0\.1\.(.+)', r'backbone.conv1.bn.\1'),
            *(Rule(rf'{_OWN}backbone\.features\.{number}\.conv\.{old}\.(.+)',
                   rf'backbone.layer{stage}.{block}.conv.{new}.{name}.\1')
              for number, (stage, block) in enumerate(places, 1)
              for old, new, name in (first if number == 1 else others)))


CONVERTER = MGDConverter()

"""EMOv2: arguments and weights of github.com/zhangzjn/EMOv2 (classification and downstream).

Our parameters have the official names, so only the classifier is renamed; the work is in the
arguments.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UserError, did_you_mean
from .base import ConversionReport, Converter, Rule, take

_NORMS = {'none': 'none', 'bn_2d': 'BN', 'bn_2ds': 'BN', 'ln_2d': 'LN2d', 'in_2d': 'IN'}
_ACTS = {
    'none': 'none', 'sigmoid': 'Sigmoid', 'swish': 'SiLU', 'silu': 'SiLU', 'mish': 'Mish',
    'hsigmoid': 'Hardsigmoid', 'hswish': 'Hardswish', 'hmish': 'HardMish', 'tanh': 'Tanh',
    'relu': 'ReLU', 'relu6': 'ReLU6', 'prelu': 'PReLU', 'gelu': 'GELU',
}
_OPERATORS = {0: 'conv', 1: 'remote', 2: 'close', 3: 'hybrid'}
_SPANS = {
    'EW_MHSA_Remote': ('remote', ),
    'EW_MHSA_Close': ('close', ),
    'EW_MHSA_Hybrid': ('remote', 'close'),
}
_PATH = 'mmext.models.backbones.emov2'

# Defaults of the official constructors.
_NETWORK_DEFAULTS = dict(
    dim_in=3, num_classes=1000, img_size=224, depths=[1, 2, 4, 2], embed_dims=[64, 128, 256, 512],
    exp_ratios=[4., 4., 4., 4.], norm_layers=['bn_2d', 'bn_2d', 'ln_2d', 'ln_2d'],
    act_layers=['silu', 'silu', 'gelu', 'gelu'], dw_kss=[3, 3, 5, 5], dim_heads=[32, 32, 32, 32],
    window_sizes=[7, 7, 7, 7], hybrid_eopss=[[0], [0], [1], [1]], conv_kss=[1, 1, 1, 1],
    conv_groupss=[1, 1, 1, 1], qkv_bias=True, attn_drop=0., drop=0., drop_path=0., v_group=False,
    attn_pre=False, ls_value=1e-6)
# Only the downstream copies of the backbone have these.
_DOWNSTREAM_DEFAULTS = dict(sync_bn=False, out_indices=None, pretrained=None, frozen_stages=-1,
                            norm_eval=False)
_BLOCK_DEFAULTS = dict(
    norm_in=True, has_skip=True, exp_ratio=1.0, norm_layer='bn_2d', act_layer='relu', dw_ks=3,
    stride=1, dim_head=64, window_size=7, hybrid_eops=[0], conv_ks=1, conv_groups=1,
    qkv_bias=False, attn_drop=0., drop=0., drop_path=0., v_group=False, attn_pre=False,
    ls_value=1e-6)
_ATTENTION_DEFAULTS = dict(
    norm_layer='bn_2d', act_layer='relu', dim_head=64, window_size=7, qkv_bias=False,
    attn_drop=0., drop=0., drop_path=0., v_group=False, attn_pre=False, ls_value=1e-6)

# Functions of the official model zoo: EMO2_5M_k5_hybrid, EMO2_5M_k5_hybrid_256, EMO1_5M, ...
_PUBLISHED = {
    **{f'EMO2_{size}_k5_hybrid': (size, 7) for size in ('1M', '2M', '5M', '20M', '50M')},
    **{f'EMO2_{size}_k5_hybrid_256': (size, 8) for size in ('1M', '2M', '5M', '20M')},
    **{f'EMO2_{size}_k5_hybrid_512': (size, 8) for size in ('1M', '2M', '5M')},
    **{f'EMO1_{size}': (f'emo1-{size}', 7) for size in ('1M', '2M', '5M', '20M')},
}


def _translate(what: str, name: str, table: Mapping[str, str]) -> str:
    if name not in table:
        raise UserError(f"emov2: unknown {what} '{name}'{did_you_mean(name, table)} "
                        f'Known: {", ".join(table)}')
    return table[name]


def _operators(indices: list[int]) -> tuple[str, ...]:
    # The official block passes over numbers that it does not know.
    return tuple(_OPERATORS[index] for index in indices if index in _OPERATORS)


class EMOv2Converter(Converter):
    """Networks become an mmpretrain classifier or the backbone; inner modules become ours."""

    method = 'emov2'
    constructors = ('EMO2', *_PUBLISHED, 'iiRMB', *_SPANS)
    targets = ('classifier', 'backbone')

    def config(self, args: Mapping[str, Any], constructor: str, target: str,
               report: ConversionReport) -> dict[str, Any]:
        """See :meth:`.Converter.config`."""
        if constructor in _SPANS:
            return self._attention(args, constructor, report)
        if constructor == 'iiRMB':
            return self._block(args, report)
        if constructor in _PUBLISHED:
            arch, window = _PUBLISHED[constructor]
            known = take(args, dict(num_classes=1000, pretrained=None), constructor)
            backbone = dict(type='mmext.EMOv2', arch=arch, window_size=window)
            channels = None
        else:
            known = take(args, {**_NETWORK_DEFAULTS, **_DOWNSTREAM_DEFAULTS}, constructor)
            backbone = self._backbone(known, report)
            channels = known['embed_dims'][-1]
        if target == 'backbone':
            return backbone
        if channels is None:
            from ..models.backbones.emov2 import ARCHITECTURES
            channels = ARCHITECTURES[str(backbone['arch'])]['embed_dims'][-1]
        return dict(
            type='mmpretrain.ImageClassifier',
            backbone=dict(backbone, out_indices=(4, ), final_norm=True),
            neck=dict(type='mmpretrain.GlobalAveragePooling'),
            head=dict(type='mmpretrain.LinearClsHead', num_classes=known['num_classes'],
                      in_channels=channels,
                      loss=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=1.0)))

    def _backbone(self, args: dict[str, Any], report: ConversionReport) -> dict[str, Any]:
        report.arguments.append(('img_size', 'unused by the official network too'))
        if args['sync_bn']:
            report.arguments.append(('sync_bn', "set sync_bn='torch' at the top of your config"))
        if args['pretrained']:
            report.arguments.append(('pretrained', "use init_cfg=dict(type='Pretrained', ...)"))
        cfg = dict(
            type='mmext.EMOv2',
            arch=dict(
                depths=tuple(args['depths']),
                embed_dims=tuple(args['embed_dims']),
                exp_ratios=tuple(args['exp_ratios']),
                head_dims=tuple(args['dim_heads']),
                norm_layers=tuple(_translate('norm', name, _NORMS) for name in args['norm_layers']),
                act_layers=tuple(_translate('activation', name, _ACTS)
                                 for name in args['act_layers']),
                dw_kernel_sizes=tuple(args['dw_kss']),
                operators=tuple(_operators(indices) for indices in args['hybrid_eopss']),
                conv_kernel_sizes=tuple(args['conv_kss']),
                conv_groups=tuple(args['conv_groupss']),
                drop_path_rate=args['drop_path']),
            in_channels=args['dim_in'],
            window_size=tuple(args['window_sizes']),
            drop_rate=args['drop'],
            attn_drop_rate=args['attn_drop'],
            qkv_bias=args['qkv_bias'],
            v_group=args['v_group'],
            attn_pre=args['attn_pre'],
            layer_scale_init_value=args['ls_value'],
            frozen_stages=args['frozen_stages'],
            norm_eval=args['norm_eval'])
        if args['out_indices'] is not None:
            cfg['out_indices'] = tuple(args['out_indices'])
        return cfg

    def _block(self, args: Mapping[str, Any], report: ConversionReport) -> dict[str, Any]:
        known = take(args, dict(_BLOCK_DEFAULTS, dim_in=None, dim_out=None), 'iiRMB')
        return dict(
            type=f'{_PATH}.InvertedResidualMobileBlock',
            in_channels=known['dim_in'],
            out_channels=known['dim_out'],
            operators=_operators(known['hybrid_eops']),
            exp_ratio=known['exp_ratio'],
            norm=_translate('norm', known['norm_layer'], _NORMS) if known['norm_in'] else 'none',
            act=_translate('activation', known['act_layer'], _ACTS),
            dw_kernel_size=known['dw_ks'],
            stride=known['stride'],
            skip=known['has_skip'],
            conv_kernel_size=known['conv_ks'],
            conv_groups=known['conv_groups'],
            head_dim=known['dim_head'],
            window_size=known['window_size'],
            qkv_bias=known['qkv_bias'],
            attn_drop=known['attn_drop'],
            v_group=known['v_group'],
            attn_pre=known['attn_pre'],
            drop=known['drop'],
            drop_path=known['drop_path'],
            layer_scale_init_value=known['ls_value'])

    def _attention(self, args: Mapping[str, Any], constructor: str,
                   report: ConversionReport) -> dict[str, Any]:
        known = take(args, dict(_ATTENTION_DEFAULTS, dim_in=None, dim_mid=None), constructor)
        for name in ('norm_layer', 'drop', 'drop_path', 'ls_value'):
            report.arguments.append((name, f'unused by the official {constructor} too'))
        return dict(
            type=f'{_PATH}.SpanningAttention',
            in_channels=known['dim_in'],
            mid_channels=known['dim_mid'],
            head_dim=known['dim_head'],
            window_size=known['window_size'],
            spans=_SPANS[constructor],
            qkv_bias=known['qkv_bias'],
            act=_translate('activation', known['act_layer'], _ACTS),
            attn_drop=known['attn_drop'],
            v_group=known['v_group'],
            attn_pre=known['attn_pre'])

    def rules(self, constructor: str, target: str) -> tuple[Rule, ...]:
        """See :meth:`.Converter.rules`."""
        if constructor in _SPANS:
            return (Rule(r'((?:qk|v)\..+)', r'\1'), )
        if constructor == 'iiRMB':
            return (Rule(r'((?:norm|eops|conv_local|proj|ls)\..+)', r'\1'), )
        if target == 'backbone':
            return (Rule(r'(stage\d\..+)', r'\1'),
                    Rule(r'(?:norm|head)\..+', None, "the classifier's; a dense backbone has none"))
        return (Rule(r'((?:stage\d|norm)\..+)', r'backbone.\1'),
                Rule(r'head\.(.+)', r'head.fc.\1'))


CONVERTER = EMOv2Converter()

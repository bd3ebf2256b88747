"""BiFormer: arguments and weights of github.com/rayleizhu/BiFormer.

Our arguments and parameters have the official names; what is done here is to fill in the official
defaults, to leave out what the official classes take without using it, and to rename the parts of a
classifier.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import UserError
from .base import ConversionReport, Converter, Rule, take

_PATH = 'mmext.models.backbones.biformer'

# Defaults of the official constructors.
_BIFORMER_DEFAULTS: dict[str, Any] = dict(
    depth=[3, 4, 8, 3], in_chans=3, num_classes=1000, embed_dim=[64, 128, 320, 512], head_dim=64,
    qk_scale=None, representation_size=None, drop_path_rate=0., drop_rate=0.,
    use_checkpoint_stages=[], n_win=7, kv_downsample_mode='ada_avgpool', kv_per_wins=[2, 2, -1, -1],
    topks=[8, 8, -1, -1], side_dwconv=5, layer_scale_init_value=-1, qk_dims=[None] * 4,
    param_routing=False, diff_routing=False, soft_routing=False, pre_norm=True, pe=None,
    pe_stages=[0], before_attn_dwconv=3, auto_pad=False, kv_downsample_kernels=[4, 2, 1, 1],
    kv_downsample_ratios=[4, 2, 1, 1], mlp_ratios=[4, 4, 4, 4], param_attention='qkvo',
    mlp_dwconv=False)
_DENSE_DEFAULTS = dict(_BIFORMER_DEFAULTS, pretrained=None, norm_eval=True, disable_bn_grad=False)
_STL_DEFAULTS: dict[str, Any] = dict(
    in_chans=3, num_classes=1000, depth=[2, 2, 6, 2], embed_dim=[96, 192, 384, 768], head_dim=32,
    qk_scale=None, drop_path_rate=0., drop_rate=0., use_checkpoint_stages=[],
    mlp_ratios=[4, 4, 4, 4], norm_layer='LayerNorm2d', pre_head_norm_layer=None,
    n_wins=(7, 7, 7, 7), topks=None, side_dwconv=5)
# What the functions of the official model zoo fill in.
_PUBLISHED = dict(head_dim=32, mlp_ratios=[3, 3, 3, 3], kv_downsample_mode='identity',
                  kv_per_wins=[-1, -1, -1, -1], topks=[1, 4, 16, -2])
_ZOO: dict[str, dict[str, Any]] = {
    'biformer_tiny': dict(_PUBLISHED, depth=[2, 2, 8, 2], embed_dim=[64, 128, 256, 512]),
    'biformer_small': dict(_PUBLISHED, depth=[4, 4, 18, 4], embed_dim=[64, 128, 256, 512]),
    'biformer_base': dict(_PUBLISHED, depth=[4, 4, 18, 4], embed_dim=[96, 192, 384, 768]),
    'biformer_stl': dict(norm_layer='BatchNorm2d'),
    'biformer_stl_nchw': dict(norm_layer='BatchNorm2d'),
}
_LAYER_DEFAULTS: dict[str, dict[str, Any]] = {
    'BiLevelRoutingAttention': dict(
        dim=None, num_heads=8, n_win=7, qk_dim=None, qk_scale=None, kv_per_win=4,
        kv_downsample_ratio=4, kv_downsample_kernel=None, kv_downsample_mode='identity', topk=4,
        param_attention='qkvo', param_routing=False, diff_routing=False, soft_routing=False,
        side_dwconv=3, auto_pad=False),
    'nchwBRA': dict(dim=None, num_heads=8, n_win=7, qk_scale=None, topk=4, side_dwconv=3,
                    auto_pad=False, attn_backend='torch'),
    'Attention': dict(dim=None, num_heads=8, qkv_bias=False, qk_scale=None, attn_drop=0.,
                      proj_drop=0.),
    'AttentionLePE': dict(dim=None, num_heads=8, qkv_bias=False, qk_scale=None, attn_drop=0.,
                          proj_drop=0., side_dwconv=5),
    'nchwAttentionLePE': dict(dim=None, num_heads=8, qkv_bias=False, qk_scale=None, attn_drop=0.,
                              proj_drop=0., side_dwconv=5),
    'Block': dict(
        dim=None, drop_path=0., layer_scale_init_value=-1, num_heads=8, n_win=7, qk_dim=None,
        qk_scale=None, kv_per_win=4, kv_downsample_ratio=4, kv_downsample_kernel=None,
        kv_downsample_mode='ada_avgpool', topk=4, param_attention='qkvo', param_routing=False,
        diff_routing=False, soft_routing=False, mlp_ratio=4, mlp_dwconv=False, side_dwconv=5,
        before_attn_dwconv=3, pre_norm=True, auto_pad=False),
}
_LAYERS = {
    'BiLevelRoutingAttention': 'mmext.BiLevelRoutingAttention', 'nchwBRA': 'mmext.BRA',
    'Attention': f'{_PATH}.Attention', 'AttentionLePE': f'{_PATH}.AttentionLePE',
    'nchwAttentionLePE': f'{_PATH}.AttentionLePE2d', 'Block': f'{_PATH}.Block',
}
# Taken by the official classes and never used, or used for something a config has elsewhere.
_UNUSED = {
    'drop_rate': 'unused by the official network too',
    'pe_stages': 'unused: no position encoding exists',
    'kv_downsample_kernel': 'unused by every pooling that exists',
    'attn_backend': "'torch' is the only one that exists",
    'pretrained': "use init_cfg=dict(type='Pretrained', checkpoint=...)",
}


class BiFormerConverter(Converter):
    """Classifiers become an mmpretrain classifier or its backbone; the rest becomes ours."""

    method = 'biformer'
    constructors = ('BiFormer', 'BiFormer_mm', 'BiFormerSTL', 'nchwBiFormerSTL', *_ZOO, *_LAYERS)
    targets = ('classifier', 'backbone')

    def convert(self,
                args: Mapping[str, Any],
                state: Mapping[str, Tensor],
                constructor: str | None = None,
                target: str | None = None,
                report: ConversionReport | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :func:`.convert`; what follows the constructor's name in brackets is ignored."""
        if constructor is not None:
            constructor = constructor.split('(')[0].strip()
        return super().convert(args, state, constructor, target, report)

    def config(self, args: Mapping[str, Any], constructor: str, target: str,
               report: ConversionReport) -> dict[str, Any]:
        """See :meth:`.Converter.config`."""
        if constructor in _LAYERS:
            known = take(args, _LAYER_DEFAULTS[constructor], constructor)
            return dict(type=_LAYERS[constructor], **self._used(known, args, constructor, report))
        backbone = self._backbone(args, constructor, report)
        classes = backbone.pop('num_classes')
        if constructor == 'BiFormer_mm':
            return backbone
        backbone['extra_norms'] = False
        if target == 'backbone':
            return backbone
        cfg = dict(
            type='mmpretrain.ImageClassifier',
            backbone=dict(backbone, out_indices=(3, ), final_norm=True),
            neck=dict(type='mmpretrain.GlobalAveragePooling'))
        if classes > 0:
            cfg['head'] = dict(
                type='mmpretrain.LinearClsHead', num_classes=classes,
                in_channels=backbone['embed_dim'][-1],
                loss=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=1.0))
        return cfg

    def _backbone(self, args: Mapping[str, Any], constructor: str,
                  report: ConversionReport) -> dict[str, Any]:
        """The config of a network, with ``num_classes``."""
        zoo = _ZOO.get(constructor, {})
        known = {name: value for name, value in args.items()
                 if not (zoo and name.startswith('pretrained'))}
        if 'STL' not in constructor and 'stl' not in constructor:
            defaults = _DENSE_DEFAULTS if constructor == 'BiFormer_mm' else _BIFORMER_DEFAULTS
            known = take(known, {**defaults, **zoo}, constructor)
            if known.pop('representation_size'):
                raise UserError('biformer: representation_size cannot be converted: the official '
                                'network does not build with it')
            return dict(type='mmext.BiFormer', **self._used(known, args, constructor, report))
        known = take(known, {**_STL_DEFAULTS, **zoo}, constructor)
        layout = 'nchw' if 'nchw' in constructor else 'nhwc'
        known['topks'] = known['topks'] or (1, 4, 16, -2)
        if constructor == 'biformer_stl_nchw' and 'topks' not in args:
            known['topks'] = (1, 4, 16, -1)
        if known.pop('qk_scale') is not None:
            report.arguments.append(('qk_scale', 'unused by the official network too'))
        for name in ('norm_layer', 'pre_head_norm_layer'):
            if known[name] is not None:
                known[name] = str(getattr(known[name], '__name__', known[name])).rsplit('.', 1)[-1]
        return dict(type='mmext.BiFormerSTL', layout=layout,
                    **self._used(known, args, constructor, report))

    @staticmethod
    def _used(known: dict[str, Any], args: Mapping[str, Any], constructor: str,
              report: ConversionReport) -> dict[str, Any]:
        """What our class takes: without the unused, and padding unless it was refused."""
        for name in ('dim', ):
            if name in known and known[name] is None:
                raise UserError(f"biformer: {constructor} needs the argument '{name}'")
        for name, why in _UNUSED.items():
            if known.pop(name, None) and name in args:
                report.arguments.append((name, why))
        if 'auto_pad' in known and ('auto_pad' not in args or constructor == 'nchwBRA'):
            known.pop('auto_pad')
            report.arguments.append(('auto_pad', 'maps that need padding are padded'))
        return {name: tuple(value) if isinstance(value, list) else value
                for name, value in known.items()}

    def rules(self, constructor: str, target: str) -> tuple[Rule, ...]:
        """See :meth:`.Converter.rules`."""
        if constructor in _LAYERS:
            return (Rule(r'((?:qkv|wo|lepe|router|proj|qkv_linear|output_linear|pos_embed|norm[12]|'
                         r'attn|mlp|gamma[12])(?:\..+)?)', r'\1'), )
        network = r'((?:downsample_layers|stages)\..+)'
        if constructor == 'BiFormer_mm':
            return (Rule(r'(?:backbone\.)?((?:downsample_layers|stages|extra_norms)\..+)', r'\1'),
                    Rule(r'(?:neck|rpn_head|roi_head|bbox_head|decode_head|auxiliary_head)\..+', None,
                         'not the backbone: the host has these parts and loads them by this name'))
        if target == 'backbone':
            return (Rule(network, r'\1'),
                    Rule(r'(?:norm|head)\..+', None, "the classifier's; a dense backbone has none"))
        return (Rule(network, r'backbone.\1'), Rule(r'(norm\..+)', r'backbone.\1'),
                Rule(r'head\.(.+)', r'head.fc.\1'))


CONVERTER = BiFormerConverter()

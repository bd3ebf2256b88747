"""DS-Net: arguments and weights of github.com/SteveTsui/DS-Net and of PaddleClas' DSNet.

Our parameters have the official names, so only the classifier is renamed. PaddlePaddle stores the
weights of linear layers transposed and names the statistics of batch norms in its own way.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError, did_you_mean
from .base import ConversionReport, Converter, Rule, take

_PATH = 'mmext.models.backbones.dsnet'
_PUBLISHED = {
    'ds_net_tiny': 'T', 'ds_net_small': 'S',
    'DSNet_tiny': 'T', 'DSNet_small': 'S', 'DSNet_base': 'B',
}
# What the functions above set; their other arguments are those of the class.
_FIXED = ('patch_size', 'depth', 'mlp_ratio', 'qkv_bias', 'norm_layer')

# Defaults of the official constructors; the last two names are PaddleClas' alone.
_NETWORK_DEFAULTS = dict(
    img_size=224, patch_size=16, in_chans=3, num_classes=1000, embed_dim=[64, 128, 320, 512],
    depth=[2, 2, 4, 1], num_heads=[1, 2, 5, 8], mlp_ratio=4., qkv_bias=True, qk_scale=None,
    representation_size=None, drop_rate=0., attn_drop_rate=0., drop_path_rate=0.,
    hybrid_backbone=None, norm_layer=None, overlap_embed=False, conv_ffn=False)
_BLOCK_DEFAULTS = dict(
    dim=None, num_heads=None, mlp_ratio=4., qkv_bias=False, qk_scale=None, drop=0., attn_drop=0.,
    drop_path=0., act_layer='GELU', norm_layer=None, downsample=2, conv_ffn=False)

_UNUSED = 'unused by the official code too'
_NO_EFFECT = {
    'img_size': 'any size is taken', 'patch_size': _UNUSED, 'qkv_bias': f'{_UNUSED}: always a bias',
    'norm_layer': f'{_UNUSED}: LayerNorm has eps 1e-5',
    'attn_drop_rate': f'{_UNUSED}: it is always 0.1', 'attn_drop': f'{_UNUSED}: it is always 0.1',
}
# mmcv's names of activations, by the lower-case name of torch's or Paddle's class.
_ACTS = {
    'gelu': 'GELU', 'relu': 'ReLU', 'relu6': 'ReLU6', 'leakyrelu': 'LeakyReLU', 'elu': 'ELU',
    'silu': 'SiLU', 'swish': 'SiLU', 'sigmoid': 'Sigmoid', 'tanh': 'Tanh', 'prelu': 'PReLU',
    'hardswish': 'HSwish',
}
_BLOCK_PARTS = (
    'pos_embed', 'norm1', 'conv1', 'conv2', 'norm_conv1', 'norm_sa1', 'conv', 'channel_up',
    'cross_channel_up_conv', 'cross_channel_up_sa', 'fuse_channel_conv', 'fuse_channel_sa',
    'norm_conv2', 'norm_sa2', 'norm2', 'mlp')
_PADDLE_STATISTICS = {'_mean': 'running_mean', '_variance': 'running_var'}


def _activation(name: str) -> str:
    """mmcv's name of an activation; ``nn.GELU`` and ``<class '...activation.GELU'>`` will do."""
    short = name.strip("<>'").rsplit('.', 1)[-1].lower()
    if short not in _ACTS:
        raise UserError(f"dsnet: unknown activation '{name}'{did_you_mean(short, _ACTS)} Known: "
                        f'{", ".join(_ACTS.values())}')
    return _ACTS[short]


class DSNetConverter(Converter):
    """Networks become an mmpretrain classifier or the backbone; a block becomes ours."""

    method = 'dsnet'
    constructors = ('MixVisionTransformer', *_PUBLISHED, 'MixBlock')
    targets = ('classifier', 'backbone')

    def config(self, args: Mapping[str, Any], constructor: str, target: str,
               report: ConversionReport) -> dict[str, Any]:
        """See :meth:`.Converter.config`."""
        report.arguments += [(name, fate) for name, fate in _NO_EFFECT.items() if name in args]
        if constructor == 'MixBlock':
            return self._block(args)
        defaults: dict[str, Any] = dict(_NETWORK_DEFAULTS)
        args = dict(args)
        if 'class_num' in args:  # PaddleClas' name
            args['num_classes'] = args.pop('class_num')
        if constructor.startswith('DSNet_'):
            defaults.update(drop_path_rate=0.1, use_ssld=False)
        if constructor in _PUBLISHED:
            defaults = {k: v for k, v in defaults.items() if k not in _FIXED} | dict(pretrained=False)
        known = take(args, defaults, constructor)
        backbone = self._backbone(known, constructor, report)
        if target == 'backbone':
            return dict(backbone, out_norm=None)
        classes = known['num_classes']
        head = dict(type='mmpretrain.ClsHead') if classes == 0 else dict(
            type='mmpretrain.LinearClsHead', num_classes=classes,
            in_channels=known['embed_dim'][-1])
        return dict(
            type='mmpretrain.ImageClassifier',
            backbone=dict(backbone, out_indices=(3, )),
            neck=dict(type='mmpretrain.GlobalAveragePooling'),
            head=dict(head, loss=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=1.0)))

    def _backbone(self, args: dict[str, Any], constructor: str,
                  report: ConversionReport) -> dict[str, Any]:
        for name in ('representation_size', 'hybrid_backbone'):
            if args[name]:
                raise UserError(f'dsnet: {name}={args[name]!r} cannot be converted; the official code '
                                'fails with it too')
        if args.get('pretrained'):
            report.arguments.append(('pretrained', "use init_cfg=dict(type='Pretrained', ...)"))
        cfg: dict[str, Any] = dict(type='mmext.DSNet')
        if constructor in _PUBLISHED:
            cfg['arch'] = _PUBLISHED[constructor]
        else:
            cfg['depth'] = tuple(args['depth'])
            cfg['mlp_ratio'] = args['mlp_ratio']
        sizes = {name: tuple(args[name]) for name in ('embed_dim', 'num_heads')}
        same = ('in_chans', 'overlap_embed', 'conv_ffn', 'qk_scale', 'drop_rate', 'drop_path_rate')
        return {**cfg, **sizes, **{name: args[name] for name in same}}

    def _block(self, args: Mapping[str, Any]) -> dict[str, Any]:
        known = take(args, _BLOCK_DEFAULTS, 'MixBlock')
        same = ('dim', 'num_heads', 'mlp_ratio', 'downsample', 'qk_scale', 'drop', 'drop_path',
                'conv_ffn')
        return dict(
            {name: known[name] for name in same},
            type=f'{_PATH}.DSBlock',
            act_cfg=dict(type=_activation(str(known['act_layer']))))

    def convert(self,
                args: Mapping[str, Any],
                state: Mapping[str, Tensor],
                constructor: str | None = None,
                target: str | None = None,
                report: ConversionReport | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :func:`.convert`; weights of PaddlePaddle are recognised by their names."""
        if any(key.endswith('._mean') for key in state):
            state = {key: value.t().contiguous() if value.ndim == 2 else value
                     for key, value in state.items()}
            # Paddle does not count batches; a strict load wants the entry.
            state.update({key.replace('._mean', '.num_batches_tracked'): torch.tensor(0)
                          for key in list(state) if key.endswith('._mean')})
        return super().convert(args, state, constructor, target, report)

    def rules(self, constructor: str, target: str) -> tuple[Rule, ...]:
        """See :meth:`.Converter.rules`."""
        block, prefix = constructor == 'MixBlock', ''
        rules: list[Rule] = []
        if not block and target == 'backbone':
            rules.append(Rule(r'(?:norm|head)\..+', None,
                              "the classifier's; as a backbone it returns the maps without norm"))
        elif not block:
            prefix = 'backbone.'
        body = f'(?:{"|".join(_BLOCK_PARTS)})' if block else r'(?:patch_embed\d|blocks\d|norm)'
        rules += [Rule(rf'({body}(?:\..+)?)\.{old}', rf'{prefix}\1.{new}')
                  for old, new in _PADDLE_STATISTICS.items()]
        rules.append(Rule(rf'({body}\..+)', rf'{prefix}\1'))
        if not block:
            rules.append(Rule(r'head\.(.+)', r'head.fc.\1'))
        return tuple(rules)


CONVERTER = DSNetConverter()

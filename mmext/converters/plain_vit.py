"""Self-supervised plain ViTs as teachers: official weights of MAE, MoCo v3, DINO and iBOT.

github.com/facebookresearch/{mae,moco-v3,dino} and github.com/bytedance/ibot: one architecture, the
names of timm. Of MoCo v3 the base encoder is taken, as its authors evaluate. An MAE *with* its decoder,
as G2SD and H-GKD need it, is converted by ``g2sd``.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .base import ConversionReport, Converter, Rule, take


class _Size(NamedTuple):
    embed_dim: int
    depth: int
    num_heads: int
    patch_size: int = 16


_SMALL, _BASE, _LARGE = _Size(384, 12, 6), _Size(768, 12, 12), _Size(1024, 24, 16)
_SIZES = {
    'mae_vit_base_patch16': _BASE, 'mae_vit_large_patch16': _LARGE,
    'mae_vit_huge_patch14': _Size(1280, 32, 16, 14),
    'mocov3_vit_small': _Size(384, 12, 12), 'mocov3_vit_base': _BASE,  # MoCo's ViT-S has 12 heads
    'ibot_vit_small': _SMALL, 'ibot_vit_base': _BASE, 'ibot_vit_large': _LARGE,
    'dino_vit_small': _SMALL, 'dino_vit_base': _BASE}
_BLOCK = {'norm1': 'ln1', 'norm2': 'ln2', 'attn.qkv': 'attn.qkv', 'attn.proj': 'attn.proj',
          'mlp.fc1': 'ffn.layers.0.0', 'mlp.fc2': 'ffn.layers.1'}
#: What stands before the encoder's keys, and what else is in the files.
_PREFIX = {'mae': '', 'mocov3': r'base_encoder\.', 'ibot': r'(?:backbone\.)?', 'dino': r'(?:backbone\.)?'}
_DROPPED = {
    'mae': Rule(r'(decoder_.+|mask_token)', None, 'of the decoder; `mmext convert g2sd` keeps it'),
    'mocov3': Rule(r'(momentum_encoder|predictor|base_encoder\.head)\..+', None, 'of the pre-training'),
    'ibot': Rule(r'((backbone\.)?masked_embed|head\..+)', None, 'of the pre-training'),
    'dino': Rule(r'head\..+', None, 'of the pre-training')}


class PlainViTConverter(Converter):
    """Official encoders to ``mmpretrain.VisionTransformer``."""

    method = 'plain_vit'
    constructors = tuple(_SIZES)
    targets = ('classifier', 'backbone')

    def config(self, args: Mapping[str, Any], constructor: str, target: str,
               report: ConversionReport) -> dict[str, Any]:
        """See :meth:`.Converter.config`."""
        size = _SIZES[constructor]
        known = take(args, dict(size._asdict(), img_size=224, in_chans=3, mlp_ratio=4., norm_eps=1e-6),
                     constructor)
        backbone = dict(
            type='mmpretrain.VisionTransformer', img_size=known['img_size'], patch_size=known['patch_size'],
            in_channels=known['in_chans'], norm_cfg=dict(type='LN', eps=known['norm_eps']), out_type='raw',
            arch=dict(embed_dims=known['embed_dim'], num_layers=known['depth'], num_heads=known['num_heads'],
                      feedforward_channels=int(known['embed_dim'] * known['mlp_ratio'])))
        if target == 'backbone':
            return backbone
        return dict(type='mmpretrain.ImageClassifier', backbone=backbone)

    def rules(self, constructor: str, target: str) -> tuple[Rule, ...]:
        """See :meth:`.Converter.rules`."""
        family = constructor.split('_')[0]
        before, after = _PREFIX[family], 'backbone.' if target == 'classifier' else ''
        blocks = tuple(Rule(rf'{before}blocks\.(\d+)\.{old.replace(".", chr(92) + ".")}\.(weight|bias)',
                            rf'{after}layers.\1.{new}.\2') for old, new in _BLOCK.items())
        return (_DROPPED[family], *blocks,
                Rule(rf'{before}(cls_token|pos_embed)', rf'{after}\1'),
                Rule(rf'{before}patch_embed\.proj\.(weight|bias)', rf'{after}patch_embed.projection.\1'),
                Rule(rf'{before}norm\.(weight|bias)', rf'{after}ln1.\1'))


CONVERTER = PlainViTConverter()

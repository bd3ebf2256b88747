"""G2SD: arguments and weights of github.com/pengzhiliang/G2SD, both stages.

``MaskedAutoencoderViT`` is also the class of MAE itself, so the teacher's official checkpoint
(``mae_base-1599.pth``, the one *with* its decoder) converts with it.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import UserError
from .base import ConversionReport, Converter, Rule, take

_MAE = dict(
    img_size=224, patch_size=16, in_chans=3, embed_dim=1024, depth=24, num_heads=16, decoder_embed_dim=512,
    decoder_depth=8, decoder_num_heads=16, mlp_ratio=4., norm_pix_loss=False, teacher=False, suplayer=4,
    supervise_all=True, encoder_pred_channel=768, decoder_pred_channel=512, norm_eps=1e-6, mask_ratio=0.75)
_VIT = dict(
    img_size=224, patch_size=16, in_chans=3, num_classes=1000, embed_dim=768, depth=12, num_heads=12,
    mlp_ratio=4., qkv_bias=True, drop_rate=0., attn_drop_rate=0., drop_path_rate=0., norm_eps=1e-6,
    global_pool=False, distillation=False, use_distoken=True)
_LOSS = dict(student_channels=None, teacher_channels=None, tau=1.0, weight=1.0, kl_reduction='mean')
_LOSSES = {'ChannelWiseDivergence': 'mmext.ChannelDistributionLoss', 'KLDivergence': 'mmext.PixelKLLoss'}


def _block(official: str, ours: str) -> tuple[Rule, ...]:
    """Rules of a timm block."""
    parts = {'norm1': 'ln1', 'norm2': 'ln2', 'attn.qkv': 'attn.qkv', 'attn.proj': 'attn.proj',
             'mlp.fc1': 'ffn.layers.0.0', 'mlp.fc2': 'ffn.layers.1'}
    return tuple(Rule(rf'{official}\.(\d+)\.{old.replace(".", chr(92) + ".")}\.(weight|bias)',
                      rf'{ours}.\1.{new}.\2') for old, new in parts.items())


def _encoder(prefix: str) -> tuple[Rule, ...]:
    return (
        *_block('blocks', f'{prefix}layers'),
        Rule(r'(cls_token|pos_embed|dist_token)', rf'{prefix}\1'),
        Rule(r'patch_embed\.proj\.(.+)', rf'{prefix}patch_embed.projection.\1'),
        Rule(r'norm\.(.+)', rf'{prefix}ln1.\1'))


def _linear(key: str) -> str:
    return key.replace('head.layers.head.', 'head.fc.')


class G2SDConverter(Converter):
    """Masked autoencoders, the ViT with its distillation token, and the losses of segmentation."""

    method = 'g2sd'
    constructors = ('MaskedAutoencoderViT', 'VisionTransformer', *_LOSSES)
    targets = ('model', )

    def config(self, args: Mapping[str, Any], constructor: str, target: str,
               report: ConversionReport) -> dict[str, Any]:
        """See :meth:`.Converter.config`."""
        if constructor in _LOSSES:
            known = take(args, _LOSS, constructor)
            cfg = dict(type=_LOSSES[constructor], loss_weight=known['weight'], tau=known['tau'],
                       student_channels=known['student_channels'],
                       teacher_channels=known['teacher_channels'])
            return cfg if constructor == 'ChannelWiseDivergence' else dict(
                cfg, reduction=known['kl_reduction'])
        if constructor == 'VisionTransformer':
            return self._classifier(take(args, _VIT, constructor))
        return self._autoencoder(take(args, _MAE, constructor), report)

    @staticmethod
    def _arch(args: Mapping[str, Any]) -> dict[str, int]:
        return dict(embed_dims=args['embed_dim'], num_layers=args['depth'], num_heads=args['num_heads'],
                    feedforward_channels=int(args['embed_dim'] * args['mlp_ratio']))

    def _autoencoder(self, args: dict[str, Any], report: ConversionReport) -> dict[str, Any]:
        report.arguments.append(('norm_pix_loss', 'pixels are not predicted'))
        norm = dict(type='LN', eps=args['norm_eps'])
        cfg: dict[str, Any] = dict(
            type='mmext.HiddenMAE' if args['teacher'] else 'mmext.G2SDStudent',
            backbone=dict(
                arch=self._arch(args), img_size=args['img_size'], patch_size=args['patch_size'],
                patch_cfg=dict(in_channels=args['in_chans']), norm_cfg=norm, mask_ratio=args['mask_ratio']),
            neck=dict(
                in_chans=args['in_chans'], norm_cfg=norm, mlp_ratio=args['mlp_ratio'],
                **{name: args[name] for name in ('decoder_embed_dim', 'decoder_depth', 'decoder_num_heads')}))
        if args['teacher']:
            stops = 1 <= args['suplayer'] <= args['decoder_depth']  # else all of its blocks run
            return dict(cfg, decoder_layer=args['suplayer'] if stops else None)
        return dict(cfg, encoder_channels=args['encoder_pred_channel'],
                    decoder_channels=args['decoder_pred_channel'],
                    supervise='all' if args['supervise_all'] else 'masked')

    def _classifier(self, args: dict[str, Any]) -> dict[str, Any]:
        """The student with its distillation token, or (without one) the fine-tuned teacher."""
        if args['distillation'] and args['global_pool']:
            raise UserError('g2sd: VisionTransformer(distillation=True, global_pool=True) does not run in '
                            "the authors' code either; the student is global_pool=False")
        backbone = dict(
            type='mmext.DistTokenViT' if args['distillation'] else 'mmpretrain.VisionTransformer',
            arch=self._arch(args), img_size=args['img_size'], patch_size=args['patch_size'],
            in_channels=args['in_chans'], qkv_bias=args['qkv_bias'], drop_rate=args['drop_rate'],
            drop_path_rate=args['drop_path_rate'], norm_cfg=dict(type='LN', eps=args['norm_eps']))
        if args['attn_drop_rate']:
            backbone.update(layer_cfgs=dict(attn_drop_rate=args['attn_drop_rate']))
        if args['global_pool']:
            backbone.update(out_type='avg_featmap', final_norm=False)
        head = dict(num_classes=args['num_classes'], in_channels=args['embed_dim'])
        if args['distillation']:
            head.update(type='mmext.DistTokenClsHead', average=args['use_distoken'],
                        loss=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=0.5))
        else:
            head.update(type='mmpretrain.LinearClsHead', loss=dict(type='mmpretrain.CrossEntropyLoss'))
        return dict(type='mmpretrain.ImageClassifier', backbone=backbone, head=head)

    def convert(self, args: Mapping[str, Any], state: Mapping[str, Tensor], constructor: str | None = None,
                target: str | None = None, report: ConversionReport | None = None
                ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :meth:`.Converter.convert`; the plain ViT has mmpretrain's linear head, of other names."""
        report = report if report is not None else ConversionReport()
        cfg, converted = super().convert(args, state, constructor, target, report)
        if 'head' in cfg and cfg['head']['type'] == 'mmpretrain.LinearClsHead':
            report.renamed = [(old, _linear(new)) for old, new in report.renamed]
            converted = {_linear(key): value for key, value in converted.items()}
        return cfg, converted

    def rules(self, constructor: str, target: str) -> tuple[Rule, ...]:
        """See :meth:`.Converter.rules`."""
        if constructor in _LOSSES:
            return (Rule(r'(align\..+)', r'\1'), )
        if constructor == 'VisionTransformer':
            return (*_encoder('backbone.'),
                    Rule(r'fc_norm\.(.+)', r'backbone.ln2.\1'),
                    Rule(r'(head|head_dist)\.(.+)', r'head.layers.\1.\2'))
        return (
            *_encoder('backbone.'), *_block('decoder_blocks', 'neck.decoder_blocks'),
            Rule(r'(mask_token|decoder_pos_embed|decoder_embed\..+|decoder_pred\..+)', r'neck.\1'),
            Rule(r'decoder_norm\.(.+)', r'neck.ln1.\1'),
            Rule(r'encoderfeature_pred\.(.+)', r'encoder_mlp.\1'),
            Rule(r'decoderfeature_pred\.(.+)', r'decoder_mlp.\1'))


CONVERTER = G2SDConverter()

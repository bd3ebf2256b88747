"""LMSeg: arguments and weights of github.com/mightyzau/LMSeg."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import UserError, did_you_mean
from .base import ConversionReport, Converter, Rule, take

# The released configurations with CLIP's ResNet-50.
_BACKBONE = dict(layers=[3, 4, 6, 3], width=64, input_resolution=224, output_dim=1024, with_attnpool=True,
                 norm='FrozenBN')
_TEXT = dict(context_length=18, hard_prompt_length=10, vocab_size=49408, transformer_width=512, heads=8,
             layers=12, embed_dim=1024, learnable_context=True)
_ADAPTER = dict(text_dim=1024, out=256)
_PIXEL = dict(type='BasePixelDecoder', conv_dim=256, mask_dim=256, norm='GN')
_PIXEL_ENCODER = dict(_PIXEL, type='TransformerEncoderPixelDecoder', enc_layers=6, dim_feedforward=2048,
                      nheads=8, dropout=0.1, pre_norm=False)
_PREDICTOR = dict(type='visualtext', hidden_dim=256, num_queries=100, nheads=8, dec_layers=6, dropout=0.1,
                  order='visual_text', dim_feedforward=2048, enc_layers=0, pre_norm=False,
                  enforce_input_project=False)
_MODEL = dict(backbone={}, text_encoder={}, text_adapter={}, pixel_decoder={}, predictor={},
              cls_embed_mlp_layers=0, size_divisibility=-1, num_classes=150)
_NORMS: dict[str, dict] = {
    'FrozenBN': dict(type='BN', requires_grad=False),
    'BN': dict(type='BN', requires_grad=True),
    'SyncBN': dict(type='SyncBN', requires_grad=True),
}
_PIXEL_NORMS: dict[str, dict | None] = {
    'GN': dict(type='GN', num_groups=32), 'BN': dict(type='BN'), 'SyncBN': dict(type='SyncBN'),
    'FrozenBN': dict(type='mmdet.FrozenBN'), '': None}
_PLAIN, _ENCODER = 'BasePixelDecoder', 'TransformerEncoderPixelDecoder'


def _choose(what: str, name: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    if name not in known:
        raise UserError(f"lmseg: {what} '{name}' cannot be converted{did_you_mean(name, known)} "
                        f'Known: {", ".join(known)}')
    return name


class LMSegConverter(Converter):
    """The whole model, for mmseg (``semantic``) or mmdet (``panoptic``)."""

    method = 'lmseg'
    constructors = ('LMSEG', 'LMSEG_Panoptic')
    targets = ('semantic', 'panoptic')

    def convert(self,
                args: Mapping[str, Any],
                state: Mapping[str, Tensor],
                constructor: str | None = None,
                target: str | None = None,
                report: ConversionReport | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :func:`mmext.converters.convert`; the panoptic class becomes the panoptic model."""
        known = self._known('constructor', constructor, self.constructors)
        if target is None and known == 'LMSEG_Panoptic':
            target = 'panoptic'
        report = report if report is not None else ConversionReport()
        cfg, converted = super().convert(args, state, known, target, report)
        head = cfg.get('decode_head') or cfg['panoptic_head']
        pixel = head['pixel_decoder']

        def rename(key: str) -> str:
            if 'encoder' in pixel:
                # The same official name, 'layer_4', has another in mmdet when an encoder comes before it.
                key = key.replace('.last_feat_conv.', '.encoder_out_proj.')
            if pixel['norm_cfg'] and pixel['norm_cfg']['type'] != 'GN':
                key = key.replace('.gn.', '.bn.') if '.pixel_decoder.' in key else key
            return key
        converted = {rename(key): value for key, value in converted.items()}
        report.renamed[:] = [(old, rename(new)) for old, new in report.renamed]
        return cfg, converted

    def config(self, args: Mapping[str, Any], constructor: str, target: str,
               report: ConversionReport) -> dict[str, Any]:
        """See :meth:`.Converter.config`."""
        known = take(args, _MODEL, constructor)
        backbone = take(known['backbone'], _BACKBONE, 'backbone')
        adapter = take(known['text_adapter'], _ADAPTER, 'text_adapter')
        norm = _NORMS[_choose('norm', backbone['norm'], _NORMS)]
        channels = [backbone['width'] * 4 * 2**stage for stage in range(4)]
        head = self._head(known, channels, target, report)
        if adapter['out'] != head['feat_channels']:
            raise UserError(f"lmseg: text_adapter.out={adapter['out']} is not predictor.hidden_dim="
                            f"{head['feat_channels']}")
        report.arguments.append(('num_classes', 'names are made up: write yours into taxonomies'))
        report.arguments.append(('size_divisibility', 'pad_size_divisor of the data preprocessor'))
        names = [f'class {index}' for index in range(known['num_classes'])]
        preprocessor: dict[str, Any] = dict(
            type='mmseg.SegDataPreProcessor' if target == 'semantic' else 'mmdet.DetDataPreprocessor',
            mean=[122.7709, 116.7460, 104.0937], std=[68.5005, 66.6322, 70.3232], bgr_to_rgb=True)
        divisor = known['size_divisibility']
        if target == 'semantic':
            preprocessor.update(pad_val=0, seg_pad_val=255, size_divisor=divisor if divisor > 0 else 32,
                                test_cfg=dict(size_divisor=divisor if divisor > 0 else 32))
        else:
            preprocessor.update(pad_mask=True, mask_pad_value=0, pad_seg=True, seg_pad_value=255,
                                pad_size_divisor=divisor if divisor > 0 else 32)
        cfg = dict(
            type='mmext.LMSeg' if target == 'semantic' else 'mmext.LMSegPanoptic',
            data_preprocessor=preprocessor,
            backbone=dict(
                type='mmext.CLIPResNet', depth=tuple(backbone['layers']), base_channels=backbone['width'],
                norm_cfg=dict(norm), norm_eval=norm['type'] == 'BN' and not norm['requires_grad'],
                attention_pool=dict(out_channels=backbone['output_dim'],
                                    size=backbone['input_resolution'] // 32)
                if backbone['with_attnpool'] else None),
            text_encoder=self._text(take(known['text_encoder'], _TEXT, 'text_encoder')),
            taxonomies=dict(converted=dict(classes=names)))
        cfg['decode_head' if target == 'semantic' else 'panoptic_head'] = head
        return cfg

    def _text(self, args: dict[str, Any]) -> dict[str, Any]:
        context = args['context_length'] - args['hard_prompt_length'] if args['learnable_context'] else 0
        return dict(
            type='mmext.CLIPTextContextEncoder', embed_dim=args['embed_dim'],
            prompt_length=args['context_length'] - context, num_context=context,
            width=args['transformer_width'], heads=args['heads'], layers=args['layers'],
            vocab_size=args['vocab_size'])

    def _head(self, args: dict[str, Any], channels: list[int], target: str,
              report: ConversionReport) -> dict[str, Any]:
        kind = args['pixel_decoder'].get('type', _PLAIN if target == 'semantic' else _ENCODER)
        kind = _choose('pixel decoder', kind, (_PLAIN, _ENCODER))
        pixel = take(args['pixel_decoder'], dict(_PIXEL_ENCODER, type=kind), 'pixel_decoder')
        predictor = take(args['predictor'], _PREDICTOR, 'predictor')
        guided = _choose('predictor', predictor['type'], ('visualtext', 'visual')) == 'visualtext'
        hidden, conv_dim = predictor['hidden_dim'], pixel['conv_dim']
        norm = _PIXEL_NORMS[_choose('pixel_decoder.norm', pixel['norm'], _PIXEL_NORMS)]
        decoder: dict[str, Any] = dict(type='mmdet.PixelDecoder', norm_cfg=norm and dict(norm))
        if kind == _ENCODER:
            from ..models.segmentors.lmseg.plain_decoder import detr_layer  # with the hosts
            decoder.update(
                type='mmext.PreNormPixelDecoder' if pixel['pre_norm'] else
                'mmdet.TransformerEncoderPixelDecoder',
                positional_encoding=dict(num_feats=conv_dim // 2, normalize=True),
                encoder=dict(num_layers=pixel['enc_layers'], layer_cfg=detr_layer(
                    conv_dim, pixel['nheads'], pixel['dim_feedforward'], pixel['dropout'])))
        layers = dict(layers=predictor['dec_layers'], heads=predictor['nheads'])
        if guided:
            # What the authors' configuration calls dropout leaves branches out.
            layers.update(drop_path_rate=predictor['dropout'], order=predictor['order'])
        else:
            layers.update(
                guided=False, feedforward_channels=predictor['dim_feedforward'], dropout=predictor['dropout'],
                encoder_layers=predictor['enc_layers'], pre_norm=predictor['pre_norm'])
        head = dict(
            type='mmext.LMSegHead', in_channels=channels, feat_channels=hidden,
            out_channels=pixel['mask_dim'], num_queries=predictor['num_queries'], pixel_decoder=decoder,
            decoder=layers, cls_mlp_layers=args['cls_embed_mlp_layers'])
        if conv_dim != hidden:
            head['pixel_channels'] = conv_dim
        if predictor['enforce_input_project']:
            head['project'] = True
        return head

    def rules(self, constructor: str, target: str) -> tuple[Rule, ...]:
        """See :meth:`.Converter.rules`."""
        head = 'decode_head' if target == 'semantic' else 'panoptic_head'
        pixel = f'{head}.pixel_decoder'
        official = r'sem_seg_head\.pixel_decoder'
        plain = r'sem_seg_head\.predictor\.transformer'
        convs = []
        for index in (1, 2, 3):
            for name, new in (('adapter', 'lateral_convs'), ('layer', 'output_convs')):
                old, name = rf'{official}\.{name}_{index}', f'{pixel}.{new}.{index - 1}'
                convs += [Rule(rf'{old}\.norm\.(.+)', rf'{name}.gn.\1'),
                          Rule(rf'{old}\.(.+)', rf'{name}.conv.\1')]
        return (
            Rule(r'backbone\.(.+)', r'backbone.\1'),
            Rule(r'text_encoder\.(.+)', r'guide.encoder.\1'),
            Rule(r'learnable_contexts', 'guide.encoder.learnable_contexts'),
            Rule(r'text_adapter\.(.+)', r'guide.adapter.\1'),
            Rule(r'tau', f'{head}.tau'),
            Rule(r'cls_embed_mlp\.(.+)', rf'{head}.cls_mlp.\1'),
            Rule(r'sem_seg_head\.predictor\.blocks\.(.+)', rf'{head}.decoder.blocks.\1'),
            Rule(r'sem_seg_head\.predictor\.((?:query_embed|input_proj|mask_embed)\..+)', rf'{head}.\1'),
            Rule(rf'{plain}\.encoder\.norm\.(.+)', rf'{head}.decoder.encoder.norm.\1'),
            Rule(rf'{plain}\.decoder\.norm\.(.+)', rf'{head}.decoder.decoder.post_norm.\1'),
            *_layer_rules(rf'{plain}\.encoder', f'{head}.decoder.encoder', ('self_attn', )),
            *_layer_rules(rf'{plain}\.decoder', f'{head}.decoder.decoder', ('self_attn', 'multihead_attn')),
            *convs,
            Rule(rf'{official}\.layer_4\.norm\.(.+)', rf'{pixel}.last_feat_conv.gn.\1'),
            Rule(rf'{official}\.layer_4\.(.+)', rf'{pixel}.last_feat_conv.conv.\1'),
            Rule(rf'{official}\.mask_features\.(.+)', rf'{pixel}.mask_feature.\1'),
            Rule(rf'{official}\.input_proj\.(.+)', rf'{pixel}.encoder_in_proj.\1'),
            Rule(rf'{official}\.transformer\.encoder\.norm\.(.+)', rf'{pixel}.encoder.norm.\1'),
            *_layer_rules(rf'{official}\.transformer\.encoder', f'{pixel}.encoder', ('self_attn', )),
            Rule(r'criterion\..+', None, 'class weights are made for every batch'),
            Rule(r'pixel_(?:mean|std)', None, "the data preprocessor's"),
        )


def _layer_rules(official: str, ours: str, attentions: tuple[str, ...]) -> list[Rule]:
    """Rules for DETR's layers under the official and our name of their stack."""
    old, new = rf'{official}\.layers\.(\d+)', rf'{ours}.layers.\1'
    names = dict(self_attn='self_attn', multihead_attn='cross_attn')
    return [
        *(Rule(rf'{old}\.{name}\.(.+)', rf'{new}.{names[name]}.attn.\2') for name in attentions),
        Rule(rf'{old}\.linear1\.(.+)', rf'{new}.ffn.layers.0.0.\2'),
        Rule(rf'{old}\.linear2\.(.+)', rf'{new}.ffn.layers.1.\2'),
        *(Rule(rf'{old}\.norm{index + 1}\.(.+)', rf'{new}.norms.{index}.\2')
          for index in range(len(attentions) + 1)),
    ]


CONVERTER = LMSegConverter()

# Rotated DINO, R50, four levels, with this package's defaults (circular angle, exact sampling, Chamfer + KLD
# matching, adaptive denoising). The number of classes is a config's own.
_base_ = './rotated-detr_r50.py'

attention = dict(embed_dims=_base_.dims, num_levels=_base_.levels, dropout=0.0)
ffn = dict(embed_dims=_base_.dims, feedforward_channels=2048, ffn_drop=0.0)
model = dict(
    type='mmext.RotatedDINO',
    num_queries=900,
    encoder=dict(layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn)),
    decoder=dict(
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=_base_.dims, num_heads=8, dropout=0.0),
            cross_attn_cfg=attention,
            ffn_cfg=ffn)),
    positional_encoding=dict(offset=0.0, temperature=20),
    bbox_head=dict(type='mmext.RotatedDINOHead', sync_cls_avg_factor=True, adaptive_dn='phc'),
    dn_cfg=dict(
        label_noise_scale=0.5,
        box_noise_scale=1.0,
        noise_mode='only_xywh',
        group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=100)))

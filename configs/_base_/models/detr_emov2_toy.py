# What the small DETRs of the toy configs share: EMOv2, three levels of 64 channels, one layer of encoder and
# three of decoder. Detector, head and queries are a config's own.
dims = 64
attention = dict(embed_dims=dims, num_levels=3, num_heads=4, dropout=0.)
ffn = dict(embed_dims=dims, feedforward_channels=128, ffn_drop=0.)
model = dict(
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32),
    backbone=dict(
        type='mmext.EMOv2',
        # A quarter of EMOv2-1M: small enough to learn from scratch in minutes.
        arch=dict(
            depths=(1, 2, 3, 2),
            embed_dims=(24, 40, 64, 96),
            exp_ratios=(2., 2., 3., 3.),
            head_dims=(8, 8, 16, 16)),
        window_size=(8, 8, 8, 4),
        layer_scale_init_value=1.,
        out_indices=(2, 3, 4)),
    neck=dict(
        type='mmdet.ChannelMapper',
        in_channels=[40, 64, 96],
        kernel_size=1,
        out_channels=dims,
        act_cfg=None,
        norm_cfg=dict(type='GN', num_groups=16),
        num_outs=3),
    encoder=dict(num_layers=1, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn)),
    decoder=dict(
        num_layers=3,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=dims, num_heads=4, dropout=0.),
            cross_attn_cfg=attention,
            ffn_cfg=ffn),
        post_norm_cfg=None),
    num_feature_levels=3)

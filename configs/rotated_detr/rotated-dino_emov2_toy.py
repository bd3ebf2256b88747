# Rotated DINO with this package's defaults and a small EMOv2 on the toy scenes.
_base_ = ['../_base_/datasets/toy_dota.py', 'mmrotate::_base_/default_runtime.py']

num_classes = 5
dims = 64
attention = dict(embed_dims=dims, num_levels=3, num_heads=4, dropout=0.)
ffn = dict(embed_dims=dims, feedforward_channels=128, ffn_drop=0.)
model = dict(
    type='mmext.RotatedDINO',
    box_space=dict(angle='wrap', sampling='exact'),
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
        boxtype2tensor=False),
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
        return_intermediate=True,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=dims, num_heads=4, dropout=0.),
            cross_attn_cfg=attention,
            ffn_cfg=ffn),
        post_norm_cfg=None),
    positional_encoding=dict(num_feats=dims // 2, normalize=True, offset=0.0, temperature=20),
    bbox_head=dict(
        type='mmext.RotatedDINOHead', num_classes=num_classes, embed_dims=dims,
        sync_cls_avg_factor=True, angle_by_elongation=True,
        # O2-RTDETR's box loss, DEIM's classes: positives weigh 1 while boxes are still poor.
        loss_cls=dict(type='mmext.MatchabilityAwareLoss'),
        loss_iou=dict(type='mmext.GaussianLoss', loss_weight=2.0)),
    num_queries=30,
    num_feature_levels=3,
    dn_cfg=dict(
        label_noise_scale=0.5,
        box_noise_scale=1.0,
        noise_mode='only_xywh',
        group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=50)),
    test_cfg=dict(max_per_img=100))

# Half of the objects are smaller than 17 of 128 pixels: enlarged, they cover more than one token.
scale = (192, 192)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, box_type='qbox'),
    dict(type='mmrotate.ConvertBoxType', box_type_mapping=dict(gt_bboxes='rbox')),
    dict(type='mmdet.Resize', scale=scale, keep_ratio=True),
    dict(type='mmdet.RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='mmdet.PackDetInputs')
]
val_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=scale, keep_ratio=True),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, box_type='qbox'),
    dict(type='mmrotate.ConvertBoxType', box_type_mapping=dict(gt_bboxes='rbox')),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
test_pipeline = val_pipeline
# Difficult objects are learned from, as mmrotate does by default: left out, a quarter of what is in the
# images would count as background.
train_dataloader = dict(batch_size=8, dataset=dict(diff_thr=100, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
max_epochs = 20
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=max_epochs // 4)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-2),
    paramwise_cfg=dict(
        norm_decay_mult=0., bias_decay_mult=0.,
        custom_keys=dict(sampling_offsets=dict(lr_mult=0.1))),
    clip_grad=dict(max_norm=1.))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=max_epochs, end=max_epochs, by_epoch=True,
         convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)
val_evaluator = dict(type='mmext.DOTAMetric', metric='mAP', iou_thrs=[0.5, 0.75])
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=2), logger=dict(interval=10))

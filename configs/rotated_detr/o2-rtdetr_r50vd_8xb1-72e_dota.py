# O2-RTDETR, R50-vd, DOTA-v1.0 tiles, 72 epochs, settings as published: 78.45 AP50 on DOTA-v1.0 test. The
# paper's angle distribution refinement is in no released code, the published weights among it, nor here.
_base_ = ['mmrotate::_base_/datasets/dota.py', 'mmrotate::_base_/default_runtime.py']

dims = 256
ffn = dict(embed_dims=dims, feedforward_channels=1024, ffn_drop=0.0)
attention = dict(embed_dims=dims, num_heads=8, dropout=0.0)
model = dict(
    type='mmext.RotatedRTDETR',
    num_queries=300,
    box_space=dict(angle='add', sampling='official'),
    # The published network sees BGR.
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[103.53, 116.28, 123.675],
        std=[57.375, 57.12, 58.395],
        bgr_to_rgb=False,
        pad_size_divisor=1,
        boxtype2tensor=False),
    backbone=dict(
        type='mmdet.ResNetV1d',
        depth=50,
        num_stages=4,
        out_indices=(1, 2, 3),
        frozen_stages=0,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint='https://mmassets.onedl.ai/mmclassification/v0/resnet/'
            'resnetv1d50_b32x8_imagenet_20210531-db14775a.pth')),
    neck=dict(
        type='mmdet.ChannelMapper',
        in_channels=[512, 1024, 2048],
        kernel_size=1,
        out_channels=dims,
        act_cfg=None,
        norm_cfg=dict(type='BN', requires_grad=True),
        num_outs=3),
    encoder=dict(
        in_channels=[dims, dims, dims],
        fpn_cfg=dict(in_channels=[dims, dims, dims], out_channels=dims, expansion=1.0),
        layer_cfg=dict(self_attn_cfg=attention, ffn_cfg={**ffn, 'act_cfg': dict(type='GELU')})),
    decoder=dict(
        num_layers=6,
        return_intermediate=True,
        layer_cfg=dict(
            self_attn_cfg=attention, cross_attn_cfg={**attention, 'num_levels': 3}, ffn_cfg=ffn),
        post_norm_cfg=None),
    bbox_head=dict(
        type='mmext.RotatedDINOHead',
        num_classes=15,
        embed_dims=dims,
        eps=1e-3,
        sync_cls_avg_factor=True,
        loss_cls=dict(type='mmext.RTDETRVarifocalLoss', quality='hbox_iou'),
        loss_bbox=dict(type='mmdet.L1Loss', loss_weight=5.0),
        loss_iou=dict(type='mmext.GaussianLoss', loss_weight=2.0)),
    dn_cfg=dict(
        label_noise_scale=0.5,
        box_noise_scale=1.0,
        noise_mode='only_xyxy',
        group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=100)),
    train_cfg=dict(
        assigner=dict(
            type='mmext.RotatedHungarianAssigner',
            match_costs=[
                dict(type='mmdet.FocalLossCost', weight=2.0),
                dict(type='mmext.ChamferCost', weight=5.0, space='normalized'),
                dict(type='mmext.GDCost', weight=2.0),
            ])),
    test_cfg=dict(max_per_img=300))

# Classes 9 and 11, storage tank and roundabout, are round.
train_pipeline = [
    dict(type='mmdet.LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, box_type='qbox'),
    dict(type='mmrotate.ConvertBoxType', box_type_mapping=dict(gt_bboxes='rbox')),
    dict(type='mmdet.Resize', scale=(1024, 1024), keep_ratio=True),
    dict(type='mmdet.RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='mmrotate.RandomRotate', prob=0.5, angle_range=180, rect_obj_labels=[9, 11]),
    dict(type='mmdet.Pad', size=(1024, 1024), pad_val=dict(img=(114, 114, 114))),
    dict(type='mmdet.PackDetInputs')
]
val_pipeline = [
    dict(type='mmdet.LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(1024, 1024), keep_ratio=True),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, box_type='qbox'),
    dict(type='mmrotate.ConvertBoxType', box_type_mapping=dict(gt_bboxes='rbox')),
    dict(type='mmdet.Pad', size=(1024, 1024), pad_val=dict(img=(114, 114, 114))),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
test_pipeline = [
    dict(type='mmdet.LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(1024, 1024), keep_ratio=True),
    dict(type='mmdet.Pad', size=(1024, 1024), pad_val=dict(img=(114, 114, 114))),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
train_dataloader = dict(batch_size=1, num_workers=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
max_epochs = 72
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=6)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
val_evaluator = dict(type='mmext.DOTAMetric', metric='mAP', iou_thrs=[0.5, 0.75])
test_evaluator = val_evaluator
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    paramwise_cfg=dict(
        custom_keys=dict(backbone=dict(lr_mult=0.1)), norm_decay_mult=0., bypass_duplicate=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=2000)
]
custom_hooks = [
    dict(
        type='EMAHook',
        ema_type='mmdet.ExpMomentumEMA',
        momentum=1e-4,
        update_buffers=True,
        priority=49)
]
auto_scale_lr = dict(base_batch_size=8)

# The demo: ATSS with a small EMOv2 on the toy scenes, box AP50 above 0.7 in three minutes on
# two cores.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py', '../_base_/datasets/toy_coco_detection.py',
    'mmdet::_base_/default_runtime.py'
]

num_classes = 5
model = dict(
    type='ATSS',
    backbone=dict(
        _delete_=True,
        type='mmext.EMOv2',
        # A quarter of EMOv2-1M: small enough to learn from scratch in minutes.
        arch=dict(
            depths=(1, 2, 3, 2),
            embed_dims=(24, 40, 64, 96),
            exp_ratios=(2., 2., 3., 3.),
            head_dims=(8, 8, 16, 16)),
        window_size=(8, 8, 8, 4),  # a stage's map at 128 px fits in one window
        layer_scale_init_value=1.),  # no slow start: the published 1e-6 suits 300 epochs
    neck=dict(
        in_channels=[24, 40, 64, 96],
        out_channels=64,
        num_outs=4,
        add_extra_convs='on_output',
        norm_cfg=dict(type='BN')),
    bbox_head=dict(
        _delete_=True,
        type='ATSSHead',
        num_classes=num_classes,
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        norm_cfg=dict(type='BN'),
        anchor_generator=dict(
            type='AnchorGenerator',
            ratios=[1.0],
            octave_base_scale=4,
            scales_per_octave=1,
            strides=[8, 16, 32, 64]),
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder', target_means=(0., ) * 4, target_stds=(0.1, 0.1, 0.2, 0.2)),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)),
    train_cfg=dict(_delete_=True, assigner=dict(type='ATSSAssigner', topk=9), allowed_border=-1,
                   pos_weight=-1, debug=False),
    test_cfg=dict(nms=dict(type='nms', iou_threshold=0.6)))

train_dataloader = dict(batch_size=8)
max_epochs = 16
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0., bias_decay_mult=0.),
    clip_grad=dict(max_norm=10.))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=max_epochs, end=max_epochs, by_epoch=True,
         convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)
default_hooks = dict(checkpoint=dict(interval=4, max_keep_ckpts=2), logger=dict(interval=10))

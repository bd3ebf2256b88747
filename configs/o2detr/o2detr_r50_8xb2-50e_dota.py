# O2DETR, R50, DOTA-v1.0 tiles, 50 epochs. The paper's R101 model: 70.02 AP50.
_base_ = [
    '../_base_/models/rotated-detr_r50.py', 'mmrotate::_base_/datasets/dota.py',
    'mmrotate::_base_/default_runtime.py'
]

dims, levels = _base_.dims, _base_.levels
model = dict(
    type='mmext.O2DETR',
    num_queries=500,
    with_box_refine=False,
    as_two_stage=False,
    encoder=dict(embed_dims=dims),
    decoder=dict(
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=dims, num_heads=8, dropout=0.1),
            cross_attn_cfg=dict(embed_dims=dims, num_levels=levels),
            ffn_cfg=dict(embed_dims=dims, feedforward_channels=1024, ffn_drop=0.1))),
    positional_encoding=dict(offset=-0.5),
    bbox_head=dict(
        type='mmext.RotatedDeformableDETRHead',
        num_classes=15,
        sync_cls_avg_factor=True,
        loss_cls=dict(
            type='mmdet.FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0),
        loss_iou=dict(type='mmext.GaussianLoss', loss_weight=2.0)),
    train_cfg=dict(
        assigner=dict(
            type='mmext.RotatedHungarianAssigner',
            match_costs=[
                dict(type='mmdet.FocalLossCost', weight=2.0),
                dict(type='mmext.RBoxL1Cost', weight=5.0),
                dict(type='mmext.GDCost', weight=2.0),
            ])))

max_epochs = 50
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
val_evaluator = dict(type='mmext.DOTAMetric', metric='mAP', iou_thrs=[0.5, 0.75])
test_evaluator = val_evaluator
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    paramwise_cfg=dict(
        custom_keys=dict(
            backbone=dict(lr_mult=0.1),
            sampling_offsets=dict(lr_mult=0.1),
            reference_points=dict(lr_mult=0.1))))
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[40], gamma=0.1)
]
auto_scale_lr = dict(base_batch_size=16)

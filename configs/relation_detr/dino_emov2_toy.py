# mmdet's DINO on the toy scenes, as large as Relation-DETR's toy and trained as long: to compare with.
_base_ = [
    '../_base_/models/detr_emov2_toy.py', '../_base_/datasets/toy_coco_detection.py',
    '../_base_/schedules/detr_toy.py', 'mmdet::_base_/default_runtime.py'
]

num_classes = 5
model = dict(
    type='DINO',
    decoder=dict(return_intermediate=True),
    positional_encoding=dict(num_feats=32, normalize=True, offset=0., temperature=20),
    bbox_head=dict(
        type='DINOHead', num_classes=num_classes, embed_dims=64, sync_cls_avg_factor=True,
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=5.0),
        loss_iou=dict(type='GIoULoss', loss_weight=2.0)),
    num_queries=30,
    with_box_refine=True,
    as_two_stage=True,
    dn_cfg=dict(
        label_noise_scale=0.5,
        box_noise_scale=1.0,
        group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=20)),
    train_cfg=dict(
        assigner=dict(
            type='HungarianAssigner',
            match_costs=[
                dict(type='FocalLossCost', weight=2.0),
                dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
                dict(type='IoUCost', iou_mode='giou', weight=2.0),
            ])),
    test_cfg=dict(max_per_img=100))

train_dataloader = dict(batch_size=8)
max_epochs = 30
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs // 3)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=max_epochs, end=max_epochs, by_epoch=True,
         convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=2), logger=dict(interval=10))

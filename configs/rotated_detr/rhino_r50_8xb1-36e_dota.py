# RHINO, R50, as published: 78.68 AP50 on DOTA-v1.0 test.
_base_ = './rotated-dino_r50_8xb1-12e_dota.py'

model = dict(
    box_space=dict(angle='add', sampling='official'),
    bbox_head=dict(
        adaptive_dn='phc',
        loss_bbox=dict(type='mmdet.L1Loss', loss_weight=5.0),
        loss_iou=dict(type='mmext.GaussianLoss', loss_weight=5.0)),
    train_cfg=dict(
        assigner=dict(
            type='mmext.RotatedHungarianAssigner',
            match_costs=[
                dict(type='mmdet.FocalLossCost', weight=2.0),
                dict(type='mmext.HausdorffCost', weight=5.0, space='normalized'),
                dict(type='mmext.GDCost', weight=5.0),
            ])))
max_epochs = 36
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[27, 33], gamma=0.1)
]

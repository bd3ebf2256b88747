# Rotated DINO as published (ai4rs): 72.80 AP50 on DOTA-v1.0 test.
_base_ = './rotated-dino_r50_8xb1-12e_dota.py'

model = dict(
    box_space=dict(angle='add', sampling='official'),
    bbox_head=dict(
        adaptive_dn=None,
        loss_bbox=dict(type='mmdet.L1Loss', loss_weight=5.0),
        loss_iou=dict(type='mmext.GaussianLoss', loss_weight=2.0)),
    dn_cfg=dict(noise_mode='only_xyxy'),
    train_cfg=dict(
        assigner=dict(
            type='mmext.RotatedHungarianAssigner',
            match_costs=[
                dict(type='mmdet.FocalLossCost', weight=2.0),
                dict(type='mmext.RBoxL1Cost', weight=5.0, periodic=False),
                dict(type='mmext.GDCost', weight=2.0),
            ])))

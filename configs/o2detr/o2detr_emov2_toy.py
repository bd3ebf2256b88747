# O2DETR with a small EMOv2 on the toy scenes: AP50 0.514, AP75 0.197 (seed 0).
_base_ = '../rotated_detr/rotated-dino_emov2_toy.py'

dims = 64
model = dict(
    _delete_=True,
    type='mmext.O2DETR',
    box_space={{_base_.model.box_space}},
    data_preprocessor={{_base_.model.data_preprocessor}},
    backbone={{_base_.model.backbone}},
    neck={{_base_.model.neck}},
    encoder=dict(
        num_layers=2, embed_dims=dims, ffn_cfg=dict(feedforward_channels=128, ffn_drop=0.)),
    decoder={{_base_.model.decoder}},
    positional_encoding=dict(num_feats=dims // 2, normalize=True, offset=-0.5),
    bbox_head=dict(
        type='mmext.RotatedDeformableDETRHead',
        num_classes={{_base_.num_classes}},
        embed_dims=dims,
        sync_cls_avg_factor=True,
        angle_by_elongation=True,
        loss_cls={{_base_.model.bbox_head.loss_cls}},
        loss_iou={{_base_.model.bbox_head.loss_iou}}),
    num_queries=30,
    num_feature_levels=3,
    with_box_refine=True,
    as_two_stage=True,
    test_cfg=dict(max_per_img=100))

max_epochs = 36
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs // 4)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=max_epochs, end=max_epochs, by_epoch=True,
         convert_to_iter_based=True),
]

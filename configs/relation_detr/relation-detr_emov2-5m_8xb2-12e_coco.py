# Relation-DETR with EMOv2-5M, 12 epochs; no published number.
_base_ = './relation-detr_r50_8xb2-12e_coco.py'

pretrained = dict(
    type='Pretrained',
    checkpoint='https://github.com/zhangzjn/data/raw/main/emov2_pretrained_weights/EMOv2_5M_224.pth')
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmext.EMOv2',
        arch='5M',
        window_size=10,
        out_indices=(2, 3, 4),
        frozen_stages=1,
        norm_eval=True,
        init_cfg=pretrained),
    neck=dict(in_channels=[72, 160, 288]))

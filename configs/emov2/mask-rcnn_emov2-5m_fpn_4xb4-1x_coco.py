# Mask R-CNN with EMOv2-5M, 1x. Published box AP 42.3, mask AP 39.0.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py', 'mmdet::_base_/datasets/coco_instance.py',
    '../_base_/schedules/emov2_1x.py', 'mmdet::_base_/default_runtime.py'
]

pretrained = dict(
    type='Pretrained',
    checkpoint='https://github.com/zhangzjn/data/raw/main/emov2_pretrained_weights/EMOv2_5M_224.pth')
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmext.EMOv2',
        arch='5M',
        window_size=10,
        frozen_stages=1,
        norm_eval=True,
        init_cfg=pretrained),
    neck=dict(in_channels=[48, 72, 160, 288]))

train_dataloader = dict(batch_size=4, num_workers=4)

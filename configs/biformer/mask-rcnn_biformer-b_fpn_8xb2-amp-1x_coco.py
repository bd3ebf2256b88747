# Mask R-CNN with BiFormer-B, 1x. Published box / mask AP 48.6 / 43.7.
_base_ = './mask-rcnn_biformer-s_fpn_8xb2-amp-1x_coco.py'

model = dict(
    backbone=dict(
        arch='base',
        drop_path_rate=0.3,
        init_cfg=dict(checkpoint='checkpoints/biformer_base_in1k.pth')),
    neck=dict(in_channels=[96, 192, 384, 768]))

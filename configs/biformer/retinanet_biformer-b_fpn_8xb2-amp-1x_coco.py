# RetinaNet with BiFormer-B, 1x. Published box AP 47.1.
_base_ = './retinanet_biformer-s_fpn_8xb2-amp-1x_coco.py'

model = dict(
    backbone=dict(
        arch='base',
        drop_path_rate=0.3,
        init_cfg=dict(checkpoint='checkpoints/biformer_base_in1k.pth')),
    neck=dict(in_channels=[192, 384, 768]))

# Semantic FPN with BiFormer-B on ADE20K, 80k iterations, batch 32. Published mIoU 49.9.
_base_ = './fpn_biformer-s_8xb4-amp-80k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='base',
        drop_path_rate=0.3,
        init_cfg=dict(checkpoint='checkpoints/biformer_base_in1k.pth')),
    neck=dict(in_channels=[96, 192, 384, 768]))

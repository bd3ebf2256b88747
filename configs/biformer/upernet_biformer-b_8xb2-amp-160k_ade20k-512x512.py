# UPerNet with BiFormer-B on ADE20K, 160k iterations, batch 16. Published mIoU 51.0 (51.7 with scales
# and flips).
_base_ = './upernet_biformer-s_8xb2-amp-160k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='base',
        drop_path_rate=0.4,
        init_cfg=dict(checkpoint='checkpoints/biformer_base_in1k.pth')),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384))

# Rotated RetinaNet with a small DS-Net and DS-FPN on the toy scenes: mmrotate's model, made small.
_base_ = [
    '../_base_/models/rotated-retinanet_toy.py', '../_base_/datasets/toy_dota.py',
    '../_base_/schedules/rotated_detector_toy.py', 'mmrotate::_base_/default_runtime.py'
]

model = dict(
    backbone=dict(
        type='mmext.DSNet',
        embed_dim=(32, 48, 64, 96),
        depth=(1, 1, 2, 1),
        num_heads=(1, 2, 2, 3),
        attn_drop=0.,
        out_indices=(1, 2, 3)),
    neck=dict(
        type='mmext.DSFPN',
        in_channels=[48, 64, 96],
        start_level=0,
        ds_cfg=dict(num_heads=2, mlp_ratio=2, attn_drop=0.)))

default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2), logger=dict(interval=10))

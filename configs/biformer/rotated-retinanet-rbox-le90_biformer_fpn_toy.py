# Rotated RetinaNet with a small BiFormer on the toy scenes: mmrotate's model, made small.
_base_ = [
    '../_base_/models/rotated-retinanet_toy.py', '../_base_/datasets/toy_dota.py',
    '../_base_/schedules/rotated_detector_toy.py', 'mmrotate::_base_/default_runtime.py'
]

model = dict(
    backbone=dict(
        type='mmext.BiFormer',
        depth=(1, 1, 3, 1),
        embed_dim=(32, 48, 64, 96),
        head_dim=16,
        n_win=4,
        topks=(1, 4, 8, -2),
        out_indices=(1, 2, 3)),
    neck=dict(in_channels=[48, 64, 96], start_level=0))

default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2), logger=dict(interval=10))

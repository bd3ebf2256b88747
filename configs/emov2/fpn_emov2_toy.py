# Semantic FPN with a small EMOv2 on the toy scenes.
_base_ = [
    '../_base_/models/fpn_toy.py', '../_base_/datasets/toy_ade20k.py',
    '../_base_/schedules/segmentor_toy.py', 'mmseg::_base_/default_runtime.py'
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmext.EMOv2',
        # A quarter of EMOv2-1M: small enough to learn from scratch in minutes.
        arch=dict(
            depths=(1, 2, 3, 2),
            embed_dims=(24, 40, 64, 96),
            exp_ratios=(2., 2., 3., 3.),
            head_dims=(8, 8, 16, 16)),
        window_size=(8, 8, 8, 4),  # a stage's map at 128 px fits in one window
        layer_scale_init_value=1.),  # no slow start: the published 1e-6 suits 300 epochs
    neck=dict(in_channels=[24, 40, 64, 96]))

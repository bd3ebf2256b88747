# A small EMOv2 as a classifier of the toy objects.
_base_ = [
    '../_base_/models/classifier_toy.py', '../_base_/datasets/toy_imagenet.py',
    '../_base_/schedules/classifier_toy.py', 'mmpretrain::_base_/default_runtime.py'
]

model = dict(
    backbone=dict(
        type='mmext.EMOv2',
        # A quarter of EMOv2-1M: small enough to learn from scratch in minutes.
        arch=dict(
            depths=(1, 2, 3, 2),
            embed_dims=(24, 40, 64, 96),
            exp_ratios=(2., 2., 3., 3.),
            head_dims=(8, 8, 16, 16)),
        out_indices=(4, ),
        final_norm=True,
        window_size=(8, 8, 8, 4),  # a stage's map at 128 px fits in one window
        layer_scale_init_value=1.),  # no slow start: the published 1e-6 suits 300 epochs
    head=dict(in_channels=96))

default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2), logger=dict(interval=5))

# A small BiFormer as a classifier of the toy objects.
_base_ = [
    '../_base_/models/classifier_toy.py', '../_base_/datasets/toy_imagenet.py',
    '../_base_/schedules/classifier_toy.py', 'mmpretrain::_base_/default_runtime.py'
]

model = dict(
    backbone=dict(
        type='mmext.BiFormer',
        depth=(1, 1, 3, 1),
        embed_dim=(32, 48, 64, 96),
        head_dim=16,
        n_win=4,
        topks=(1, 4, 8, -2),
        out_indices=(3, ),
        extra_norms=False,
        final_norm=True),
    head=dict(in_channels=96))

default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2), logger=dict(interval=5))

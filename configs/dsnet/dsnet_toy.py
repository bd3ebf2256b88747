# A small DS-Net as a classifier of the toy objects.
_base_ = [
    '../_base_/models/classifier_toy.py', '../_base_/datasets/toy_imagenet.py',
    '../_base_/schedules/classifier_toy.py', 'mmpretrain::_base_/default_runtime.py'
]

model = dict(
    backbone=dict(
        type='mmext.DSNet',
        embed_dim=(32, 48, 64, 96),
        depth=(1, 1, 2, 1),
        num_heads=(1, 2, 2, 3),
        attn_drop=0.,
        out_indices=(3, )),
    head=dict(in_channels=96))

default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2), logger=dict(interval=5))

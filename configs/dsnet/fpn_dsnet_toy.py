# Semantic FPN with a small DS-Net on the toy scenes.
_base_ = [
    '../_base_/models/fpn_toy.py', '../_base_/datasets/toy_ade20k.py',
    '../_base_/schedules/segmentor_toy.py', 'mmseg::_base_/default_runtime.py'
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmext.DSNet',
        embed_dim=(32, 48, 64, 96),
        depth=(1, 1, 2, 1),
        num_heads=(1, 2, 2, 3),
        attn_drop=0.),
    neck=dict(in_channels=[32, 48, 64, 96]))

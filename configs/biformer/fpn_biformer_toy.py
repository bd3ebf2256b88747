# Semantic FPN with a small BiFormer on the toy scenes.
_base_ = [
    '../_base_/models/fpn_toy.py', '../_base_/datasets/toy_ade20k.py',
    '../_base_/schedules/segmentor_toy.py', 'mmseg::_base_/default_runtime.py'
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmext.BiFormer',
        depth=(1, 1, 3, 1),
        embed_dim=(32, 48, 64, 96),
        head_dim=16,
        n_win=4,
        topks=(1, 4, 8, -2)),
    neck=dict(in_channels=[32, 48, 64, 96]))

# Semantic FPN with a small BiFormer on the toy scenes.
_base_ = [
    'mmseg::_base_/models/fpn_r50.py', '../_base_/datasets/toy_ade20k.py',
    'mmseg::_base_/default_runtime.py', '../_base_/schedules/segmentor_toy.py'
]

num_classes = 9
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='mmext.BiFormer',
        depth=(1, 1, 3, 1),
        embed_dim=(32, 48, 64, 96),
        head_dim=16,
        n_win=4,
        topks=(1, 4, 8, -2)),
    neck=dict(in_channels=[32, 48, 64, 96], out_channels=64),
    decode_head=dict(
        in_channels=[64, 64, 64, 64], channels=64, num_classes=num_classes,
        norm_cfg=dict(type='BN', requires_grad=True)))

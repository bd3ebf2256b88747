# Semantic FPN with a small DS-Net on the toy scenes.
_base_ = [
    'mmseg::_base_/models/fpn_r50.py', '../_base_/datasets/toy_ade20k.py',
    'mmseg::_base_/default_runtime.py', 'mmseg::_base_/schedules/schedule_20k.py'
]

num_classes = 9
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='mmext.DSNet',
        embed_dim=(32, 48, 64, 96),
        depth=(1, 1, 2, 1),
        num_heads=(1, 2, 2, 3),
        attn_drop=0.),
    neck=dict(in_channels=[32, 48, 64, 96], out_channels=64),
    decode_head=dict(
        in_channels=[64, 64, 64, 64], channels=64, num_classes=num_classes,
        norm_cfg=dict(type='BN', requires_grad=True)))

max_iters = 400
train_cfg = dict(max_iters=max_iters, val_interval=200)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.05),
    clip_grad=dict(_delete_=True, max_norm=10.))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', T_max=max_iters, end=max_iters, by_epoch=False),
]
default_hooks = dict(
    checkpoint=dict(interval=200, max_keep_ckpts=2), logger=dict(interval=10))

# The teacher of g2sd_upernet_vit_toy.py: UPerNet on a small plain ViT, on the toy scenes.
_base_ = [
    '../_base_/models/segmentor_toy.py', '../_base_/datasets/toy_ade20k.py',
    '../_base_/schedules/segmentor_toy.py', 'mmseg::_base_/default_runtime.py'
]

norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    backbone=dict(
        type='MAE',
        img_size=(128, 128),
        embed_dims=64,
        num_layers=4,
        num_heads=4,
        mlp_ratio=2,
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type='LN', eps=1e-6),
        init_values=1.0),
    neck=dict(type='Feature2Pyramid', embed_dim=64, rescales=[4, 2, 1, 0.5], norm_cfg=norm_cfg),
    decode_head=dict(
        type='UPerHead',
        in_channels=[64, 64, 64, 64],
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2),
        channels=32,
        dropout_ratio=0.1,
        num_classes=9,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)))

max_iters = 200
train_cfg = dict(max_iters=max_iters, val_interval=100)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = _base_.param_scheduler
param_scheduler[-1].update(T_max=max_iters, end=max_iters)
default_hooks = dict(checkpoint=dict(interval=100))

# How the small segmentors of the toy configs learn: 400 iterations.
_base_ = 'mmseg::_base_/schedules/schedule_20k.py'

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

# How the small rotated detectors of the toy configs learn: 20 epochs.
_base_ = 'mmrotate::_base_/schedules/schedule_1x.py'

max_epochs = 20
train_cfg = dict(max_epochs=max_epochs, val_interval=10)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0., bias_decay_mult=0.),
    clip_grad=dict(max_norm=10.))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=max_epochs, end=max_epochs, by_epoch=True,
         convert_to_iter_based=True),
]

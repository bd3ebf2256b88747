# EMOv2's segmentors: 80k iterations of batches of 32, AdamW; constant for half of the schedule, then
# cosine to 0; norms without decay.
_base_ = 'mmseg::_base_/schedules/schedule_80k.py'

max_iters = 80000
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1.2e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(custom_keys={'norm': dict(decay_mult=0.)}),
    clip_grad=dict(_delete_=True, max_norm=0.1, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-5, by_epoch=False, begin=0, end=500),
    dict(
        type='CosineAnnealingLR',
        begin=max_iters // 2,
        T_max=max_iters // 2,
        end=max_iters,
        by_epoch=False,
        eta_min=0),
]

# Semantic FPN with BiFormer-S on ADE20K, 80k iterations, batch 32. Published mIoU 48.9.
_base_ = [
    'mmseg::_base_/models/fpn_r50.py', 'mmseg::_base_/datasets/ade20k.py',
    'mmseg::_base_/default_runtime.py', 'mmseg::_base_/schedules/schedule_80k.py'
]

# From the authors' OneDrive, see README.md
pretrained = dict(type='Pretrained', checkpoint='checkpoints/biformer_small_in1k.pth')
sync_bn = 'torch'
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='mmext.BiFormer',
        arch='small',
        n_win=8,
        drop_path_rate=0.15,
        init_cfg=pretrained),
    neck=dict(in_channels=[64, 128, 256, 512]),
    decode_head=dict(num_classes=150))

max_iters = 80000
optim_wrapper = dict(
    _delete_=True,
    type='AmpOptimWrapper',
    loss_scale=512.,
    optimizer=dict(type='AdamW', lr=2e-4, weight_decay=1e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=1000),
    dict(type='CosineAnnealingLR', T_max=max_iters, end=max_iters, by_epoch=False, eta_min=2e-12),
]
train_dataloader = dict(batch_size=4)

# Both sides are aligned up to a multiple of 32, by a second resize.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    dict(type='ResizeToMultiple', size_divisor=32),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

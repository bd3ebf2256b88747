# UPerNet with BiFormer-S on ADE20K, 160k iterations, batch 16. Published mIoU 49.8 (50.8 with scales
# and flips). Where half precision gives NaN the authors train in float32 (type='OptimWrapper').
_base_ = [
    'mmseg::_base_/models/upernet_r50.py', 'mmseg::_base_/datasets/ade20k.py',
    'mmseg::_base_/default_runtime.py', 'mmseg::_base_/schedules/schedule_160k.py'
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
        drop_path_rate=0.3,
        init_cfg=pretrained),
    decode_head=dict(in_channels=[64, 128, 256, 512], num_classes=150),
    auxiliary_head=dict(in_channels=256, num_classes=150))

max_iters = 160000
optim_wrapper = dict(
    _delete_=True,
    type='AmpOptimWrapper',
    loss_scale=512.,
    optimizer=dict(type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(custom_keys={'norm': dict(decay_mult=0.)}))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=0., begin=0, end=max_iters, by_epoch=False),
]
train_dataloader = dict(batch_size=2)

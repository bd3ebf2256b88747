# UPerNet with DS-Net-S on ADE20K, 160k iterations, batch 16. The paper has no segmentation: the
# recipe is Swin's.
_base_ = [
    'mmseg::_base_/models/upernet_r50.py', 'mmseg::_base_/datasets/ade20k.py',
    'mmseg::_base_/default_runtime.py', 'mmseg::_base_/schedules/schedule_160k.py'
]

# Train dsnet-s_8xb128_in1k.py first, or give official weights here (see the README).
pretrained = dict(
    type='Pretrained',
    prefix='backbone.',
    checkpoint='work_dirs/dsnet-s_8xb128_in1k/epoch_300.pth')
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    pretrained=None,
    backbone=dict(
        _delete_=True, type='mmext.DSNet', arch='S', drop_path_rate=0.3, init_cfg=pretrained),
    decode_head=dict(in_channels=[64, 128, 320, 512], num_classes=150),
    auxiliary_head=dict(in_channels=320, num_classes=150))

sync_bn = 'torch'
max_iters = 160000
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(norm_decay_mult=0.))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=0., begin=1500, end=max_iters, by_epoch=False),
]
train_dataloader = dict(batch_size=2, num_workers=4)

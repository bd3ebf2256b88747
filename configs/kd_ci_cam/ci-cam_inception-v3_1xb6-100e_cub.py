# CI-CAM of Inception v3 on CUB-200-2011, not distilled: top-1 / GT-known localisation 73.85 / 93.79.
_base_ = './ci-cam_vgg16_1xb6-100e_cub.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmext.NonLocalInceptionV3',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://mmassets.onedl.ai/mmclassification/v0/inception-v3/'
            'inception-v3_3rdparty_8xb32_in1k_20220615-dcd4d910.pth',
            prefix='backbone.')),
    head=dict(in_channels=768, context=dict(size=17), localizer=dict(seg_thr=0.21)))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    _base_.randaugment,
    dict(type='mmpretrain.RandomResizedCrop', scale=299, crop_ratio_range=(0.2, 1.0)),
    _base_.flip,
    _base_.pack,
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(500, 500)),
    dict(type='CenterCrop', crop_size=299),
    dict(type='PackInputs', algorithm_keys=('gt_bboxes', ))
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    paramwise_cfg=dict(
        custom_keys={'backbone': dict(lr_mult=0.6), 'mask2attention': dict(lr_mult=0.6)}))
param_scheduler = [
    dict(type='PolyLR', power=0.9, end=101, by_epoch=True),  # mmengine's ends a step early
    dict(type='StepLR', step_size=50, gamma=0.5, by_epoch=True),
    dict(type='MultiStepLR', milestones=[85], gamma=0.1, by_epoch=True),
]

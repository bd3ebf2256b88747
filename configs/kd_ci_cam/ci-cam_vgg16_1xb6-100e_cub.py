# CI-CAM of VGG-16 on CUB-200-2011, not distilled: top-1 / GT-known localisation 66.53 / 88.09.
_base_ = ['mmpretrain::_base_/datasets/cub_bs8_448.py', 'mmpretrain::_base_/default_runtime.py']

model = dict(
    type='ImageClassifier',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmext.NonLocalVGG16',
        # The authors start from torchvision's weights; these are mmpretrain's own.
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://mmassets.onedl.ai/mmclassification/v0/vgg/'
            'vgg16_batch256_imagenet_20210208-db26f1a5.pth',
            prefix='backbone.')),
    head=dict(
        type='mmext.CICAMHead',
        num_classes=200,
        in_channels=512,
        up_weight=0.0,
        context=dict(size=14, update_rate=0.01),
        localizer=dict(seg_thr=0.14, function='quadratic')))

flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
pack = dict(type='PackInputs', meta_keys=('route', 'img_path', 'ori_shape', 'img_shape'))
randaugment = dict(
    type='mmpretrain.RandAugment',
    policies='timm_increasing',
    num_policies=3,
    magnitude_level=10,
    total_level=30)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    randaugment,
    dict(type='mmpretrain.RandomResizedCrop', scale=224, crop_ratio_range=(0.2, 1.0)),
    flip,
    pack,
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(344, 344)),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs', algorithm_keys=('gt_bboxes', ))
]
train_dataloader = dict(batch_size=6, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=16, dataset=dict(type='mmext.CUBLocalization', pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='mmext.LocalizationMetric', topk=(1, 5))
test_evaluator = val_evaluator
visualizer = dict(type='mmext.CAMVisualizer', vis_backends=[dict(type='LocalVisBackend')])

train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=5)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(
    optimizer=dict(type='Adam', lr=5e-4),
    paramwise_cfg=dict(
        custom_keys={'backbone': dict(lr_mult=0.1), 'mask2attention': dict(lr_mult=0.1)}))
param_scheduler = [
    dict(type='PolyLR', power=0.9, end=101, by_epoch=True),  # mmengine's ends a step early
    dict(type='StepLR', step_size=40, gamma=0.5, by_epoch=True),
]
auto_scale_lr = dict(base_batch_size=6)

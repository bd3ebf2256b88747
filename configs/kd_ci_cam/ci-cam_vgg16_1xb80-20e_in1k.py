# CI-CAM of VGG-16 on ImageNet, not distilled: top-1 / GT-known localisation 49.04 / 63.64.
_base_ = ['mmpretrain::_base_/datasets/imagenet_bs32.py', 'mmpretrain::_base_/default_runtime.py']

model = dict(
    type='ImageClassifier',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mmext.NonLocalVGG16',
        non_local_stages=(2, 3, 4),
        extra_channels=1024,
        # The authors start from torchvision's weights; these are mmpretrain's own.
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://mmassets.onedl.ai/mmclassification/v0/vgg/'
            'vgg16_batch256_imagenet_20210208-db26f1a5.pth',
            prefix='backbone.')),
    head=dict(
        type='mmext.CICAMHead',
        num_classes=1000,
        in_channels=1024,
        up_weight=0.0,
        context=dict(size=14, update_rate=0.001),
        localizer=dict(seg_thr=0.11, function='sum_1', mean_num=20)))

flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
pack = dict(type='PackInputs', meta_keys=('route', 'img_path', 'ori_shape', 'img_shape'))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmpretrain.RandomResizedCrop', scale=224, crop_ratio_range=(0.4, 1.0)),
    flip,
    pack,
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(100000, 288), keep_ratio=True),  # the short edge to 288
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs', algorithm_keys=('gt_bboxes', ))
]
train_dataloader = dict(batch_size=80, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmext.LocalizationDataset',
        data_root='data/imagenet',
        data_prefix='val',
        ann_file='meta/val.txt',
        boxes='Annotations/CLS-LOC/val',
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='mmext.LocalizationMetric', topk=(1, 5))
test_evaluator = val_evaluator
visualizer = dict(type='mmext.CAMVisualizer', vis_backends=[dict(type='LocalVisBackend')])

train_cfg = dict(by_epoch=True, max_epochs=20, val_interval=1)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='Adam', lr=1.3e-4))
param_scheduler = [
    dict(type='PolyLR', power=0.9, end=21, by_epoch=True),  # mmengine's ends a step early
    dict(type='StepLR', step_size=10, gamma=0.1, by_epoch=True),
]
auto_scale_lr = dict(base_batch_size=80)

# MGD: ResNet-18 from 1/8 of VOC 2012 aug with labels, under a wide and a deep teacher.
# The authors' table could not be read: no published number for this split.
_base_ = ['mmseg::_base_/default_runtime.py']

num_classes = 21
crop_size = (512, 512)
norm_cfg = dict(type='SyncBN', requires_grad=True)
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=crop_size)
# The authors load torchvision's weights too; the deep stem stays random.
student = dict(
    type='EncoderDecoder',
    data_preprocessor=data_preprocessor,
    backbone=dict(
        type='mmext.MultiGridResNet',
        depth=18,
        deep_stem=True,
        norm_cfg=norm_cfg,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18')),
    decode_head=dict(
        type='mmext.CPSDeepLabHead',
        in_channels=[64, 512],
        num_classes=num_classes,
        norm_cfg=norm_cfg),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(341, 341)))
wide = dict(
    type='EncoderDecoder',
    backbone=dict(
        type='mmext.MultiGridResNet', depth=50, base_channels=128, expansion=2, norm_cfg=norm_cfg),
    decode_head=dict(
        type='mmext.CPSDeepLabHead',
        in_channels=[256, 2048],
        num_classes=num_classes,
        norm_cfg=norm_cfg))
deep = dict(
    type='EncoderDecoder',
    backbone=dict(
        type='mmext.MultiGridResNet',
        depth=101,
        deep_stem=True,
        stem_channels=128,
        norm_cfg=norm_cfg),
    decode_head=dict(
        type='mmext.CPSDeepLabHead',
        in_channels=[256, 2048],
        num_classes=num_classes,
        norm_cfg=norm_cfg))
# Made by `mmext convert mgd`, see README.md. The authors' teachers use the statistics of the batch
# (teacher_mode='train'); in eval mode each runs once for all branches.
model = dict(
    type='mmext.MultiGranularityDistiller',
    student=student,
    teachers=dict(
        wide=dict(model=wide, checkpoint='work_dirs/mgd/wresnet34_voc-1-8.pth'),
        deep=dict(model=deep, checkpoint='work_dirs/mgd/resnet101_voc-1-8.pth')),
    loss=dict(lambda_sem=0.002, lambda_region=100.))  # lambda_sem: for 2 images on each device

data_root = 'data/VOCdevkit/VOC2012'
resize = dict(
    type='RandomChoiceResize',
    scales=[int(512 * ratio) for ratio in (0.5, 0.75, 1., 1.5, 1.75, 2.)],
    resize_type='ResizeShortestEdge',
    max_size=4096)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'), resize,
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs')
]
unlabelled_pipeline = [
    dict(type='LoadImageFromFile'), resize,
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]
prefix = dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug')
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='mmext.SemiSegDataset',
        labelled=dict(
            type='PascalVOCDataset',
            data_root=data_root,
            data_prefix=prefix,
            ann_file='subset_train_aug/train_aug_labeled_1-8.txt',
            pipeline=train_pipeline),
        unlabelled=dict(
            type='PascalVOCDataset',
            data_root=data_root,
            data_prefix=prefix,
            ann_file='subset_train_aug/train_aug_unlabeled_1-8.txt',
            pipeline=unlabelled_pipeline)))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='PascalVOCDataset',
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/val.txt',
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmext.IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

# 34 epochs of the 9,259 unlabelled images, 8 in a batch. The authors take the best of the last
# epochs on the validation set; here the last one counts.
max_iters = 39338
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=4000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.0025, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0., bias_decay_mult=0.))
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0., end=max_iters, by_epoch=False)]
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4000),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'))

# CI-CAM on the toy objects, a small ResNet: the undistilled student of kd-ci-cam_toy.py.
_base_ = [
    'mmpretrain::_base_/default_runtime.py',
    '../_base_/datasets/toy_imagenet.py',
]

model = dict(
    type='ImageClassifier',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='ResNet',
        depth=18,
        base_channels=16,
        strides=(1, 2, 1, 1),  # a map of 8 x 8 at 64 px
        out_indices=(3, )),
    head=dict(
        type='mmext.CICAMHead',
        num_classes=5,
        in_channels=128,
        stride=8,
        up_weight=0.0,
        context=dict(size=8, update_rate=0.01),
        localizer=dict(seg_thr=0.4, function='quadratic'),
        topk=(1, )))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmpretrain.RandomResizedCrop', scale=64, crop_ratio_range=(0.5, 1.0)),
    dict(type='mmpretrain.RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='mmpretrain.PackInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64)),
    dict(type='PackInputs', algorithm_keys=('gt_bboxes', ))
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type='mmext.LocalizationDataset', boxes='boxes_val.json', pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='mmext.LocalizationMetric', topk=(1, ), cam_thresholds=50)
test_evaluator = val_evaluator
visualizer = dict(type='mmext.CAMVisualizer', vis_backends=[dict(type='LocalVisBackend')])

max_epochs = 10
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=5)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-3), clip_grad=dict(max_norm=5.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='PolyLR', power=0.9, end=max_epochs, by_epoch=True, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2), logger=dict(interval=5))

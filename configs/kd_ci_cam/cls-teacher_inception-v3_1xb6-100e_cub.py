# The classification teacher of KD-CI-CAM, Inception v3, on CUB-200-2011: top 1 / top-1 localisation
# 79.41 / 65.33. The authors take epoch 90.
_base_ = './ci-cam_inception-v3_1xb6-100e_cub.py'

model = dict(
    type='mmext.CICAMClassifier',
    aux_type=('fore', ),
    aux_rate=0.6,
    seg_thr=0.15,
    head=dict(up_weight=1.0))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmpretrain.RandomResizedCrop', scale=299, crop_ratio_range=(0.2, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
param_scheduler = [
    dict(type='PolyLR', power=0.9, end=101, by_epoch=True),  # mmengine's ends a step early
    dict(type='StepLR', step_size=20, gamma=0.5, by_epoch=True),
    dict(type='MultiStepLR', milestones=[85], gamma=0.1, by_epoch=True),
]

# The classification teacher of KD-CI-CAM, VGG-16, on CUB-200-2011: top 1 / top-1 localisation 79.29 / 62.60.
_base_ = './ci-cam_vgg16_1xb6-100e_cub.py'

model = dict(
    type='mmext.CICAMClassifier',
    aux_type=('fore', ),
    aux_rate=1.0,
    seg_thr=0.08,
    head=dict(up_weight=1.0, spa_weight=0.04))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmpretrain.RandomResizedCrop', scale=224, crop_ratio_range=(0.2, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='mmpretrain.ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(
        type='mmpretrain.Lighting',
        eigval=[55.4625, 4.7940, 1.1475],
        eigvec=[[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]],
        alphastd=0.1,
        to_rgb=True),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
param_scheduler = [
    dict(type='PolyLR', power=0.9, end=101, by_epoch=True),  # mmengine's ends a step early
    dict(type='StepLR', step_size=14, gamma=0.5, by_epoch=True),
]

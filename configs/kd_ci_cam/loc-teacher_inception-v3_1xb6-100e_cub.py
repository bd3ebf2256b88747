# The localisation teacher of KD-CI-CAM, Inception v3, on CUB-200-2011: top-1 / GT-known localisation
# 68.19 / 94.15. The authors take epoch 65.
_base_ = './ci-cam_inception-v3_1xb6-100e_cub.py'

model = dict(
    type='mmext.CICAMClassifier',
    aux_type=('diff', 'aux'),
    aux_rate=0.2,
    seg_thr=0.25,
    head=dict(up_weight=1.0, spa_weight=2e-8))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    _base_.randaugment,
    dict(type='mmpretrain.RandomResizedCrop', scale=299, crop_ratio_range=(0.1, 1.0)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={'backbone': dict(lr_mult=0.8), 'mask2attention': dict(lr_mult=0.8)}))

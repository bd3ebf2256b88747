# The localisation teacher of KD-CI-CAM, VGG-16, on ImageNet: top-1 / GT-known localisation 42.23 / 64.68. The
# authors take epoch 5.
_base_ = './ci-cam_vgg16_1xb80-20e_in1k.py'

model = dict(
    type='mmext.CICAMClassifier',
    aux_type=('diff', 'aux'),
    aux_rate=1.0,
    seg_thr=0.0,
    head=dict(up_weight=1.0, spa_weight=1e-6))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmpretrain.ResizeEdge', scale=240, edge='short'),
    dict(type='mmpretrain.RandomCrop', crop_size=224),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=12, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=6e-5))
auto_scale_lr = dict(base_batch_size=36)

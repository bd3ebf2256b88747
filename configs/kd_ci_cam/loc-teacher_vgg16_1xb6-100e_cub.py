# The localisation teacher of KD-CI-CAM, VGG-16, on CUB-200-2011: top-1 / GT-known localisation 65.84 / 88.76.
# The authors take epoch 70.
_base_ = './cls-teacher_vgg16_1xb6-100e_cub.py'

model = dict(aux_type=('diff', 'aux'), aux_rate=0.5, seg_thr=0.0, head=dict(spa_weight=0.0))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(336, 336)),
    dict(type='mmpretrain.RandomCrop', crop_size=224),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

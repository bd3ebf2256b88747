# A teacher of dmt_vit_toy.py: MoCo v3 on the toy objects, without labels.
_base_ = './teacher-mae_vit_toy.py'

view = [
    dict(type='RandomResizedCrop', scale=128, crop_ratio_range=(0.3, 1.)),
    dict(
        type='RandomApply',
        transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)],
        prob=0.8),
    dict(type='RandomGrayscale', prob=0.2, keep_channels=True),
    dict(type='RandomFlip', prob=0.5)
]
train_dataloader = dict(
    dataset=dict(pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='MultiView', num_views=2, transforms=[view]),
        dict(type='PackInputs')
    ]))

bare = dict(
    with_bias=False, with_last_bn=True, with_last_bn_affine=False, with_last_bias=False, with_avg_pool=False)
model = dict(
    _delete_=True,
    type='MoCoV3',
    base_momentum=0.01,
    backbone=dict(
        type='MoCoV3ViT', arch=_base_.arch, img_size=128, patch_size=16, stop_grad_conv1=True),
    neck=dict(
        type='NonLinearNeck', in_channels=64, hid_channels=128, out_channels=64, num_layers=3, **bare),
    head=dict(
        type='MoCoV3Head',
        predictor=dict(
            type='NonLinearNeck', in_channels=64, hid_channels=128, out_channels=64, num_layers=2, **bare),
        loss=dict(type='CrossEntropyLoss', loss_weight=0.4),
        temperature=0.2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', T_max=10, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=10)

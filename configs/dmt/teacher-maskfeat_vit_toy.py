# A teacher of dmt_vit_toy.py: MaskFeat on the toy objects, without labels. Its images are larger.
_base_ = './teacher-mae_vit_toy.py'

train_dataloader = dict(
    dataset=dict(pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(0.5, 1.)),
        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
        dict(type='BEiTMaskGenerator', input_size=14, num_masking_patches=78, min_num_patches=15),
        dict(type='PackInputs')
    ]))
model = dict(
    _delete_=True,
    type='MaskFeat',
    backbone=dict(type='MaskFeatViT', arch=_base_.arch, img_size=224, patch_size=16),
    neck=dict(type='LinearNeck', in_channels=64, out_channels=108, norm_cfg=None),
    head=dict(type='MIMHead', loss=dict(type='PixelReconstructionLoss', criterion='L2')),
    target_generator=dict(type='HOGGenerator', nbins=9, pool=8, gaussian_window=16))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', T_max=6, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=6)

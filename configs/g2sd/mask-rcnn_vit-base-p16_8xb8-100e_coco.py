# The teacher of detection: Mask R-CNN on a plain ViT-B (ViTDet), started from MAE.
_base_ = ['mmdet::_base_/models/mask-rcnn_r50_fpn.py', 'mmdet::common/lsj-100e_coco-instance.py']

image_size = (1024, 1024)
model = dict(
    data_preprocessor=dict(
        pad_size_divisor=32,
        batch_augments=[dict(type='BatchFixedSizePad', size=image_size, pad_mask=True)]),
    backbone=dict(
        _delete_=True,
        type='mmext.ViTDet',
        img_size=1024,
        arch=dict(
            embed_dims=768,
            num_layers=12,
            num_heads=12,
            feedforward_channels=3072,
            global_attn_indexes=[2, 5, 8, 11]),
        window_size=14,
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/dmt/mae_vit-base.pth', prefix='backbone.')),
    neck=dict(_delete_=True, type='mmext.SimpleFeaturePyramid', in_channels=768, out_channels=256))

# 64 images in a batch, 100 epochs (25 times the 4-fold data set)
train_dataloader = dict(batch_size=8, num_workers=8)
optim_wrapper = dict(
    _delete_=True,
    type='AmpOptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
    constructor='mmext.StudentOptimWrapperConstructor',
    paramwise_cfg=dict(
        constructor='mmpretrain.LearningRateDecayOptimWrapperConstructor',
        layer_decay_rate=0.7,
        norm_decay_mult=0.,
        bias_decay_mult=0.))

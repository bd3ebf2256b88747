# G2SD, stage 1: ViT-S from the decoder of MAE ViT-B, without labels. Published results are of stage 2.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs512_mae.py', 'mmpretrain::_base_/default_runtime.py'
]

# The authors' file *with* its decoder (mae_base-1599.pth), made by `mmext convert g2sd`, see README.md.
model = dict(
    type='mmext.G2SDPretrain',
    student=dict(
        backbone=dict(arch='deit-s', mask_ratio=0.75),
        neck=dict(decoder_embed_dim=256, decoder_depth=4, decoder_num_heads=8),
        decoder_channels=512),
    teacher=dict(
        model=dict(
            type='mmext.HiddenMAE',
            backbone=dict(arch='b', mask_ratio=0.75),
            neck=dict(decoder_embed_dim=512, decoder_depth=8, decoder_num_heads=16),
            decoder_layer=4),
        checkpoint='work_dirs/g2sd/mae_base-1599.pth'))

# 4,096 images in a batch, as the authors have by accumulation
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(
        type='AdamW', lr=1.5e-4 * 4096 / 256, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0., bias_decay_mult=0., flat_decay_mult=0.))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-4,
        by_epoch=True,
        begin=0,
        end=10,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=290,
        eta_min=2.5e-6,
        by_epoch=True,
        begin=10,
        end=300,
        convert_to_iter_based=True)
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=300)
default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=10, max_keep_ckpts=3))
auto_scale_lr = dict(base_batch_size=4096)

# G2SD, stage 1: ViT-S from the decoder of MAE ViT-B, without labels. Published results are of stage 2.
# The authors have the 4,096 images of a batch by accumulation.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs512_mae.py',
    '../_base_/schedules/imagenet_bs4096_adamw_coslr-300e.py',
    'mmpretrain::_base_/default_runtime.py'
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

default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=10, max_keep_ckpts=3))

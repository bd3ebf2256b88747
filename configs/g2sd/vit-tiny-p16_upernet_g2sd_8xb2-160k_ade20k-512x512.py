# G2SD, stage 2 for segmentation, as ViT-S, for ViT-T.
_base_ = './vit-small-p16_upernet_g2sd_8xb2-160k_ade20k-512x512.py'

model = dict(
    student=dict(
        backbone=dict(
            embed_dims=192,
            num_heads=3,
            init_cfg=dict(checkpoint='work_dirs/g2sd/vit-tiny_encoder.pth')),
        neck=dict(embed_dim=192),
        decode_head=dict(in_channels=[192, 192, 192, 192], channels=192),
        auxiliary_head=dict(in_channels=192)))

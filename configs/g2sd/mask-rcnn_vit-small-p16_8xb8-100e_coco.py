# Mask R-CNN on a plain ViT-S, started from stage 1 of G2SD: the student without stage 2.
_base_ = './mask-rcnn_vit-base-p16_8xb8-100e_coco.py'

model = dict(
    backbone=dict(
        arch=dict(embed_dims=384, num_heads=6, feedforward_channels=1536),
        init_cfg=dict(
            checkpoint='work_dirs/g2sd_vit-small-p16_8xb512-coslr-300e_in1k/epoch_300.pth',
            prefix='student.backbone.')),
    neck=dict(in_channels=384))

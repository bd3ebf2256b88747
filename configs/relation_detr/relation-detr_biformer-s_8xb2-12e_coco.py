# Relation-DETR with BiFormer-S, 12 epochs; no published number.
_base_ = './relation-detr_r50_8xb2-12e_coco.py'

# From BiFormer's authors' OneDrive, see ../biformer/README.md
pretrained = dict(type='Pretrained', checkpoint='checkpoints/biformer_small_in1k.pth')
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmext.BiFormer',
        arch='small',
        n_win=16,
        drop_path_rate=0.2,
        out_indices=(1, 2, 3),
        norm_eval=True,
        init_cfg=pretrained),
    neck=dict(in_channels=[128, 256, 512]))

# RetinaNet with BiFormer-S, 1x. Published box AP 45.9; re-run by the authors with their released code
# 47.3. They compute the first map too, for nobody: the pyramid starts at the second.
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'

# From the authors' OneDrive, see README.md
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
    neck=dict(in_channels=[128, 256, 512], start_level=0))

optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale=512.,
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=1e-4))

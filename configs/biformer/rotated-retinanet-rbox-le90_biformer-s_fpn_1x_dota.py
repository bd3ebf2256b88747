# Rotated RetinaNet with BiFormer-S on DOTA-v1.0, 1x. The authors publish no oriented model: the
# detector's recipe is mmrotate's, the optimizer that of BiFormer's horizontal RetinaNet.
_base_ = 'mmrotate::rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py'

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
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=1e-4))

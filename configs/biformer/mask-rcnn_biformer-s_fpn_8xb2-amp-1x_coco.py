# Mask R-CNN with BiFormer-S, 1x. Published box / mask AP 47.8 / 43.2; re-run by the authors with their
# released code 48.1 / 43.6.
_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'

# From the authors' OneDrive, see README.md
pretrained = dict(type='Pretrained', checkpoint='checkpoints/biformer_small_in1k.pth')
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmext.BiFormer',
        arch='small',
        n_win=16,
        drop_path_rate=0.2,
        norm_eval=True,
        init_cfg=pretrained),
    neck=dict(in_channels=[64, 128, 256, 512]))

optim_wrapper = dict(
    type='AmpOptimWrapper',
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(custom_keys={'norm': dict(decay_mult=0.)}))

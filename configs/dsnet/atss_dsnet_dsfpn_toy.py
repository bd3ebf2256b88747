# ATSS with a small DS-Net and DS-FPN on the toy scenes, from stride 4 on: every map is used.
_base_ = [
    '../_base_/models/atss_toy.py', '../_base_/datasets/toy_coco_detection.py',
    '../_base_/schedules/detector_toy.py', 'mmdet::_base_/default_runtime.py'
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmext.DSNet',
        embed_dim=(32, 48, 64, 96),
        depth=(1, 1, 2, 1),
        num_heads=(1, 2, 2, 3),
        attn_drop=0.,
        out_indices=(0, 1, 2, 3)),
    neck=dict(
        type='mmext.DSFPN',
        in_channels=[32, 48, 64, 96],
        start_level=0,
        out_channels=48,
        ds_cfg=dict(num_heads=2, mlp_ratio=2, attn_drop=0.)),
    bbox_head=dict(
        in_channels=48,
        feat_channels=48,
        stacked_convs=1,
        norm_cfg=dict(type='GN', num_groups=16, requires_grad=True),
        anchor_generator=dict(strides=[4, 8, 16, 32, 64])))

default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2), logger=dict(interval=10))

# What the rotated DETRs on an R50 share: picture, backbone, four levels of 256 channels, six layers each.
dims = 256
levels = 4
model = dict(
    num_feature_levels=levels,
    box_space=dict(angle='wrap', sampling='exact'),
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=1,
        boxtype2tensor=False),
    backbone=dict(
        type='mmdet.ResNet',
        depth=50,
        num_stages=4,
        out_indices=(1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
    neck=dict(
        type='mmdet.ChannelMapper',
        in_channels=[512, 1024, 2048],
        kernel_size=1,
        out_channels=dims,
        act_cfg=None,
        norm_cfg=dict(type='GN', num_groups=32),
        num_outs=levels),
    encoder=dict(num_layers=6),
    decoder=dict(num_layers=6, return_intermediate=True, post_norm_cfg=None),
    positional_encoding=dict(num_feats=dims // 2, normalize=True),
    test_cfg=dict(max_per_img=500))

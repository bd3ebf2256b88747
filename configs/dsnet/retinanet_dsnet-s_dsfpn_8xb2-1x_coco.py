# RetinaNet with DS-Net-S and DS-FPN, 1x. The abstract claims 6.4 box AP more than ResNet-50 has;
# the recipe is PVT's, the paper's own is not published in code.
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'

# Train dsnet-s_8xb128_in1k.py first, or give official weights here (see the README).
pretrained = dict(
    type='Pretrained',
    prefix='backbone.',
    checkpoint='work_dirs/dsnet-s_8xb128_in1k/epoch_300.pth')
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmext.DSNet',
        arch='S',
        out_indices=(1, 2, 3),
        drop_path_rate=0.1,
        init_cfg=pretrained),
    neck=dict(type='mmext.DSFPN', in_channels=[128, 320, 512], start_level=0))

sync_bn = 'torch'  # batch norms in backbone and neck, two images a GPU
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.))

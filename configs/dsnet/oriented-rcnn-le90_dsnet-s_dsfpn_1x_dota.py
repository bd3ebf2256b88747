# Oriented R-CNN with DS-Net-S and DS-FPN on DOTA-v1.0, 1x. The paper has no oriented model: the
# detector's recipe is mmrotate's, the optimizer that of the horizontal RetinaNet here.
_base_ = 'mmrotate::oriented_rcnn/oriented-rcnn-le90_r50_fpn_1x_dota.py'

# Train dsnet-s_8xb128_in1k.py first, or give official weights here (see the README).
pretrained = dict(
    type='Pretrained',
    prefix='backbone.',
    checkpoint='work_dirs/dsnet-s_8xb128_in1k/epoch_300.pth')
model = dict(
    backbone=dict(
        _delete_=True, type='mmext.DSNet', arch='S', drop_path_rate=0.1, init_cfg=pretrained),
    neck=dict(type='mmext.DSFPN', in_channels=[64, 128, 320, 512]))
sync_bn = 'torch'  # if trained on several GPUs
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.))

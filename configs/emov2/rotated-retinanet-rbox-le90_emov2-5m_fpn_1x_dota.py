# Rotated RetinaNet with EMOv2-5M on DOTA-v1.0, 1x. The authors publish no oriented model: the
# detector's recipe is mmrotate's, the optimizer that of EMOv2's horizontal RetinaNet.
_base_ = 'mmrotate::rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py'

pretrained = dict(
    type='Pretrained',
    checkpoint='https://github.com/zhangzjn/data/raw/main/emov2_pretrained_weights/EMOv2_5M_224.pth')
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmext.EMOv2',
        arch='5M',
        window_size=10,
        frozen_stages=1,
        norm_eval=True,
        init_cfg=pretrained),
    neck=dict(in_channels=[48, 72, 160, 288]))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(custom_keys={'norm': dict(decay_mult=0.)}))

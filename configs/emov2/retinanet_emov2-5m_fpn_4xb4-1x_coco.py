# RetinaNet with EMOv2-5M, 1x. Published box AP 41.5.
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'

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

# AdamW; constant for half of the schedule, then cosine to 0; norms without decay
max_epochs = 12
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=2e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(custom_keys={'norm': dict(decay_mult=0.)}),
    clip_grad=dict(max_norm=0.1, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-5, by_epoch=False, begin=0, end=500),
    dict(
        type='CosineAnnealingLR',
        begin=max_epochs // 2,
        T_max=max_epochs // 2,
        end=max_epochs,
        by_epoch=True,
        eta_min=0),
]
train_dataloader = dict(batch_size=4, num_workers=4)

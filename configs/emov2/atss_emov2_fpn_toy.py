# The demo: ATSS with a small EMOv2 on the toy scenes, box AP50 above 0.7 in three minutes on
# two cores.
_base_ = [
    '../_base_/models/atss_toy.py', '../_base_/datasets/toy_coco_detection.py',
    '../_base_/schedules/detector_toy.py', 'mmdet::_base_/default_runtime.py'
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmext.EMOv2',
        # A quarter of EMOv2-1M: small enough to learn from scratch in minutes.
        arch=dict(
            depths=(1, 2, 3, 2),
            embed_dims=(24, 40, 64, 96),
            exp_ratios=(2., 2., 3., 3.),
            head_dims=(8, 8, 16, 16)),
        window_size=(8, 8, 8, 4),  # a stage's map at 128 px fits in one window
        layer_scale_init_value=1.),  # no slow start: the published 1e-6 suits 300 epochs
    neck=dict(in_channels=[24, 40, 64, 96], num_outs=4, norm_cfg=dict(type='BN')),
    bbox_head=dict(
        norm_cfg=dict(type='BN'),
        anchor_generator=dict(octave_base_scale=4, strides=[8, 16, 32, 64])))

train_dataloader = dict(batch_size=8)
max_epochs = 16
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[-1].update(T_max=max_epochs, end=max_epochs)
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(checkpoint=dict(interval=4, max_keep_ckpts=2), logger=dict(interval=10))

# A small EMOv2 as a classifier of the toy objects.
_base_ = [
    'mmpretrain::_base_/default_runtime.py',
    'mmpretrain::_base_/schedules/imagenet_bs1024_adamw_swin.py', '../_base_/datasets/toy_imagenet.py'
]

num_classes = 5
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmext.EMOv2',
        # A quarter of EMOv2-1M: small enough to learn from scratch in minutes.
        arch=dict(
            depths=(1, 2, 3, 2),
            embed_dims=(24, 40, 64, 96),
            exp_ratios=(2., 2., 3., 3.),
            head_dims=(8, 8, 16, 16)),
        out_indices=(4, ),
        final_norm=True,
        window_size=(8, 8, 8, 4),  # a stage's map at 128 px fits in one window
        layer_scale_init_value=1.),  # no slow start: the published 1e-6 suits 300 epochs
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=num_classes,
        in_channels=96,
        topk=(1, ),
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))

max_epochs = 15
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=5.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', T_max=max_epochs, end=max_epochs, by_epoch=True,
         convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2), logger=dict(interval=5))

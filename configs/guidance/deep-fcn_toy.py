# 24 fully connected layers as the classifier of the toy objects at 32 pixels, alone.
_base_ = ['mmpretrain::_base_/default_runtime.py', '../_base_/datasets/toy_imagenet_32px.py']

num_classes = 5
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmext.FullyConnectedNet', arch=[128] * 24, image_size=32),
    head=dict(
        type='LinearClsHead',
        num_classes=num_classes,
        in_channels=128,
        topk=(1, ),
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))
train_dataloader = dict(drop_last=True)

max_epochs = 20
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=5)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=max_epochs, end=max_epochs, by_epoch=True,
         convert_to_iter_based=True)
]
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2), logger=dict(interval=5))

# 48 fully connected layers alone, for comparison. Published top-5: 1.65.
_base_ = ['mmpretrain::_base_/datasets/imagenet_bs32.py', 'mmpretrain::_base_/default_runtime.py']

model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmext.FullyConnectedNet', arch='deep'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=1024,
        topk=(1, 5),
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))
train_dataloader = dict(batch_size=256)
val_dataloader = dict(batch_size=256)
test_dataloader = dict(batch_size=256)

optim_wrapper = dict(optimizer=dict(type='Adam', lr=1e-3))
param_scheduler = dict(type='StepLR', by_epoch=True, step_size=30, gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=256)

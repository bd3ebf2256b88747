# The student of h_gkd_resnet18_toy.py, dense now, fine-tuned with the labels of the toy objects.
# Without its start: --cfg-options model.backbone.init_cfg=None
_base_ = [
    '../_base_/datasets/toy_imagenet.py', '../_base_/schedules/finetune_toy.py',
    'mmpretrain::_base_/default_runtime.py'
]

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet',
        depth=18,
        stem_channels=16,
        base_channels=16,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/h_gkd_resnet18_toy/epoch_20.pth',
            prefix='student.backbone.')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=5,
        in_channels=128,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))

train_cfg = dict(max_epochs=10)
param_scheduler = _base_.param_scheduler
param_scheduler[-1].update(T_max=10)
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2), logger=dict(interval=10))

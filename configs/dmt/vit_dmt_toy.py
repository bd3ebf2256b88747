# The student of dmt_vit_toy.py, fine-tuned with the labels of the toy objects.
# Without its start: --cfg-options model.backbone.init_cfg=None
_base_ = [
    '../_base_/datasets/toy_imagenet.py', '../_base_/schedules/finetune_toy.py',
    'mmpretrain::_base_/default_runtime.py'
]

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=48, num_layers=3, num_heads=3, feedforward_channels=96),
        img_size=128,
        patch_size=16,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/dmt_vit_toy/epoch_20.pth',
            prefix='student.backbone.')),
    head=dict(
        type='LinearClsHead',
        num_classes=5,
        in_channels=48,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))

default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2), logger=dict(interval=10))

# The teacher of vit_g2sd_toy.py: a small plain ViT on the toy objects.
_base_ = [
    '../_base_/datasets/toy_imagenet.py', '../_base_/schedules/finetune_toy.py',
    'mmpretrain::_base_/default_runtime.py'
]

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=96, num_layers=6, num_heads=6, feedforward_channels=192),
        img_size=128,
        patch_size=16),
    head=dict(
        type='LinearClsHead',
        num_classes=5,
        in_channels=96,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))

default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2), logger=dict(interval=10))

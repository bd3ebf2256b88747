# METR with a small EMOv2 and MiniLM's text embeddings on the toy scenes: box AP50 0.414 (seed 0).
_base_ = [
    '../_base_/models/detr_emov2_toy.py', '../_base_/datasets/toy_coco_detection.py',
    '../_base_/schedules/detr_toy.py', 'mmdet::_base_/default_runtime.py'
]

model = dict(
    type='mmext.METR',
    classes={{_base_.metainfo.classes}},
    text_embed=dict(type='mmext.TextTable', path='{{fileDirname}}/toy_classes_minilm.safetensors'),
    positional_encoding=dict(num_feats=32, normalize=True, offset=0., temperature=20),
    category_extraction=dict(
        text_dims=384, num_heads=4, feedforward_channels=128, topk_train=5, topk_test=4),
    bbox_head=dict(type='mmext.METRHead', embed_dims=64),
    num_queries=20,
    dn_cfg=dict(
        label_noise_scale=0.5,
        box_noise_scale=1.0,
        group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=30)),
    test_cfg=dict(max_per_img=80))

train_dataloader = dict(batch_size=8)
max_epochs = 36
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs // 4)
# An embedding's length is 1: a step of the full rate would turn it by half.
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(
            class_prompts=dict(lr_mult=0.02, decay_mult=0.), convert_vector=dict(lr_mult=0.1))))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=max_epochs, end=max_epochs, by_epoch=True,
         convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=2), logger=dict(interval=10))

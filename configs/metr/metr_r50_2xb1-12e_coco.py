# METR, ResNet-50, 12 epochs: the authors' COCO recipe; the paper's numbers were not to be had.
_base_ = ['mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py']

model = dict(
    type='mmext.METR',
    classes='mmdet.CocoDataset',
    # The authors' table is of this encoder, not normalised; their template is unknown. The page says
    # how to take their table itself.
    text_embed=dict(
        type='mmext.TextEncoder',
        name='openai/clip-vit-base-patch32',
        pooling='clip',
        normalize=False,
        template='a photo of a {}'),
    backbone=dict(norm_cfg=dict(_delete_=True, type='FrozenBN')),
    neck=dict(bias=True),
    category_extraction=dict(text_dims=512),
    bbox_head=dict(
        _delete_=True,
        type='mmext.METRHead',
        dn_mode='official',  # the intended one, dn_mode='per_category', is the default
        loss_cls=dict(
            type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0),
        loss_bbox=dict(type='L1Loss', loss_weight=5.0),
        loss_iou=dict(type='GIoULoss', loss_weight=2.0)),
    num_queries=100,
    train_cfg=dict(assigner=dict(match_costs=[
        dict(type='FocalLossCost', weight=2.0, eps=1e-8),
        dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
        dict(type='IoUCost', iou_mode='giou', weight=2.0)
    ])),
    test_cfg=dict(max_per_img=100))

# Two GPUs with one image each, as the authors had to; more images work.
train_dataloader = dict(batch_size=1)
auto_scale_lr = dict(base_batch_size=2)

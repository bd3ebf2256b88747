# The first stage of CGG on COCO 48/17: where is an object, whatever it is? One class, from the masks of the
# base classes; plain Mask2Former of mmdet. The second stage starts from its weights:
#   --cfg-options load_from=work_dirs/cgg-pretrain_r50_8xb2-36e_coco-b48n17/epoch_36.pth
_base_ = './cgg_r50_8xb2-12e_coco-b48n17.py'

model = dict(
    _delete_=True,
    type='Mask2Former',
    data_preprocessor={{_base_.model.data_preprocessor}},
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        # statistics follow the data, the affine part stays
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=False,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
    panoptic_head=dict(
        type='Mask2FormerHead',
        in_channels=[256, 512, 1024, 2048],
        strides=[4, 8, 16, 32],
        feat_channels=256,
        out_channels=256,
        num_things_classes=1,
        num_stuff_classes=0,
        num_queries=100,
        num_transformer_feat_level=3,
        pixel_decoder={{_base_.model.panoptic_head.pixel_decoder}},
        enforce_decoder_input_project=False,
        positional_encoding={{_base_.model.panoptic_head.positional_encoding}},
        transformer_decoder={{_base_.model.panoptic_head.transformer_decoder}},
        loss_cls=dict(
            type='CrossEntropyLoss',
            use_sigmoid=False,
            loss_weight=2.0,
            reduction='mean',
            class_weight=[1.0, 0.1]),
        loss_mask={{_base_.model.panoptic_head.loss_mask}},
        loss_dice={{_base_.model.panoptic_head.loss_dice}}),
    panoptic_fusion_head=dict(
        type='MaskFormerFusionHead', num_things_classes=1, num_stuff_classes=0, loss_panoptic=None),
    train_cfg={{_base_.model.train_cfg}},
    test_cfg=dict(
        panoptic_on=False, semantic_on=False, instance_on=True, max_per_image=100, iou_thr=0.8,
        filter_low_score=True))

# Every base class is the one class.
merge = dict(type='mmext.MergeClasses')
train_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    merge,
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomResize', scale=(1024, 1024), ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(1024, 1024), crop_type='absolute', recompute_bbox=True,
         allow_negative_crop=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-5, 1e-5), by_mask=True),
    # before the normalisation, as the authors do: padding is grey, not black
    dict(type='Pad', size=(1024, 1024), pad_val=dict(img=128, masks=0, seg=255)),
    dict(type='PackDetInputs')
]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CocoDataset',
        data_root='data/coco/',
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        metainfo=dict(classes={{_base_.base_classes}}),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline))
# Average recall over all 65 classes, without names: novel objects count too.
val_evaluator = dict(
    _delete_=True,
    type='mmext.CocoMetric',
    ann_file='data/coco/annotations/instances_val2017.json',
    metric=['proposal'])
test_evaluator = val_evaluator

max_epochs = 36
train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=3)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[27, 33], gamma=0.1),
]

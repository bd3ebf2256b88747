# Open-set panoptic segmentation (OSPS) on COCO: 16 thing classes (20%) are void in training, and named in
# captions only. Nothing needs panopticapi. Start from the class-agnostic stage:
#   --cfg-options load_from=work_dirs/cgg-pretrain_r50_8xb2-36e_coco-panoptic-p20/epoch_36.pth
_base_ = [
    'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py', '../_base_/classes/coco_osps.py'
]

things, stuff, unknown = _base_.things, _base_.stuff, _base_.unknown
known_things = _base_.known_things
base_classes = known_things + stuff
words = 'data/words/bert_base_uncased.safetensors'
model = dict(
    type='mmext.CGG',
    backbone=dict(frozen_stages=3),
    panoptic_head=dict(
        type='mmext.CGGHead',
        classes=things + stuff,
        base_classes=base_classes,
        num_things_classes=None,
        num_stuff_classes=53,
        language=dict(type='mmext.WordEmbeddings', path=words),
        loss_grounding=dict(type='mmext.GroundingLoss'),
        caption_generator=dict(num_layers=4, num_heads=8, feedforward_channels=512),
        loss_cls=dict(class_weight=[1.] * len(base_classes) + [0.1])),
    panoptic_fusion_head=dict(_delete_=True, type='mmext.CGGFusionHead'),
    test_cfg=dict(object_mask_thr=0.8, stuff_area_limit=4096))

image_size = (1024, 1024)
train_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(type='mmext.LoadPanoptic'),
    dict(type='mmext.LoadCaption', words=words),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomResize', scale=image_size, ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=image_size, crop_type='absolute', recompute_bbox=True,
         allow_negative_crop=True),
    # before the normalisation, as the authors do: padding is grey, not black
    dict(type='Pad', size=image_size, pad_val=dict(img=128, masks=0, seg=255)),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'caption_ids',
                   'noun_ids'))
]
train_dataloader = dict(
    dataset=dict(
        type='mmext.CaptionCocoPanopticDataset',
        metainfo=dict(classes=base_classes, thing_classes=known_things, stuff_classes=stuff),
        caption_file='annotations/captions_nouns_train2017.json',
        filter_cfg=dict(_delete_=True, filter_empty_gt=False),
        pipeline=train_pipeline))
# The truth is read by the metric.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True,
    type='mmext.PanopticMetric',
    ann_file='data/coco/annotations/panoptic_val2017.json',
    seg_prefix='data/coco/annotations/panoptic_val2017/',
    groups=dict(known_things=known_things, unknown_things=unknown))
test_evaluator = val_evaluator

train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=12, val_interval=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=12, by_epoch=True, milestones=[9, 11], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(_delete_=True, type='CheckpointHook', interval=1, max_keep_ckpts=3))
log_processor = dict(by_epoch=True)

# Open-vocabulary instance segmentation (OVIS) on COCO: masks of 48 classes, captions, 17 novel classes.
# Before training: tools/dataset_converters/{word_table,caption_nouns}.py, see README.md.
_base_ = 'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py'

base_classes = (
    'person', 'bicycle', 'car', 'motorcycle', 'train', 'truck', 'boat', 'bench', 'bird', 'horse',
    'sheep', 'bear', 'zebra', 'giraffe', 'backpack', 'handbag', 'suitcase', 'frisbee', 'skis', 'kite',
    'surfboard', 'bottle', 'fork', 'spoon', 'bowl', 'banana', 'apple', 'sandwich', 'orange', 'broccoli',
    'carrot', 'pizza', 'donut', 'chair', 'bed', 'toilet', 'tv', 'laptop', 'mouse', 'remote', 'microwave',
    'oven', 'toaster', 'refrigerator', 'book', 'clock', 'vase', 'toothbrush')
# All 65, in the order of COCO; the other 15 of COCO are ignored.
classes = (
    'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat', 'bench',
    'bird', 'cat', 'dog', 'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe', 'backpack',
    'umbrella', 'handbag', 'tie', 'suitcase', 'frisbee', 'skis', 'snowboard', 'kite', 'skateboard',
    'surfboard', 'bottle', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple', 'sandwich',
    'orange', 'broccoli', 'carrot', 'pizza', 'donut', 'cake', 'chair', 'couch', 'bed', 'toilet', 'tv',
    'laptop', 'mouse', 'remote', 'keyboard', 'microwave', 'oven', 'toaster', 'sink', 'refrigerator',
    'book', 'clock', 'vase', 'scissors', 'toothbrush')
words = 'data/words/bert_base_uncased.safetensors'
model = dict(
    type='mmext.CGG',
    backbone=dict(frozen_stages=3),
    panoptic_head=dict(
        type='mmext.CGGHead',
        classes=classes,
        base_classes=base_classes,
        language=dict(type='mmext.WordEmbeddings', path=words),
        loss_grounding=dict(type='mmext.GroundingLoss'),
        caption_generator=dict(num_layers=4, num_heads=8, feedforward_channels=512),
        num_things_classes=None,
        num_stuff_classes=0,
        loss_cls=dict(class_weight=[1.] * len(base_classes) + [0.1])),
    panoptic_fusion_head=dict(_delete_=True, type='mmext.CGGFusionHead'))

image_size = (1024, 1024)
train_pipeline = [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmext.LoadCaption', words=words),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomResize', scale=image_size, ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=image_size, crop_type='absolute', recompute_bbox=True,
         allow_negative_crop=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-5, 1e-5), by_mask=True, keep_empty=False),
    # before the normalisation, as the authors do: padding is grey, not black
    dict(type='Pad', size=image_size, pad_val=dict(img=128, masks=0, seg=255)),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'caption_ids',
                   'noun_ids'))
]
train_dataloader = dict(
    dataset=dict(
        type='mmext.CaptionCocoDataset',
        metainfo=dict(classes=base_classes),
        caption_file='annotations/captions_nouns_train2017.json',
        filter_cfg=dict(_delete_=True, filter_empty_gt=False),
        pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(metainfo=dict(classes=classes)))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True,
    type='mmext.OpenVocabularyMetric',
    ann_file='data/coco/annotations/instances_val2017.json',
    base_classes=base_classes)
test_evaluator = val_evaluator

train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=12, val_interval=1)
param_scheduler = dict(
    _delete_=True,
    type='MultiStepLR',
    begin=0,
    end=88716,
    by_epoch=False,
    milestones=[70000, 80000],
    gamma=0.1)
default_hooks = dict(checkpoint=dict(_delete_=True, type='CheckpointHook', interval=1, max_keep_ckpts=3))
log_processor = dict(by_epoch=True)

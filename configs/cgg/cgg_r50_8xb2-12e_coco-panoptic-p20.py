# Open-set panoptic segmentation (OSPS) on COCO: 16 thing classes (20%) are void in training, and named in
# captions only. For 5% and 10% shorten `unknown` to its first 4 and 8 names.
# Nothing needs panopticapi. Start from a class-agnostic stage: `--cfg-options load_from=...`.
_base_ = 'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py'

unknown = (
    'car', 'cow', 'pizza', 'toilet', 'boat', 'tie', 'zebra', 'stop sign', 'dining table', 'banana',
    'bicycle', 'cake', 'sink', 'cat', 'keyboard', 'bear')
things = (
    'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat',
    'traffic light', 'fire hydrant', 'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog',
    'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe', 'backpack', 'umbrella', 'handbag',
    'tie', 'suitcase', 'frisbee', 'skis', 'snowboard', 'sports ball', 'kite', 'baseball bat',
    'baseball glove', 'skateboard', 'surfboard', 'tennis racket', 'bottle', 'wine glass', 'cup', 'fork',
    'knife', 'spoon', 'bowl', 'banana', 'apple', 'sandwich', 'orange', 'broccoli', 'carrot', 'hot dog',
    'pizza', 'donut', 'cake', 'chair', 'couch', 'potted plant', 'bed', 'dining table', 'toilet', 'tv',
    'laptop', 'mouse', 'remote', 'keyboard', 'cell phone', 'microwave', 'oven', 'toaster', 'sink',
    'refrigerator', 'book', 'clock', 'vase', 'scissors', 'teddy bear', 'hair drier', 'toothbrush')
stuff = (
    'banner', 'blanket', 'bridge', 'cardboard', 'counter', 'curtain', 'door-stuff', 'floor-wood',
    'flower', 'fruit', 'gravel', 'house', 'light', 'mirror-stuff', 'net', 'pillow', 'platform',
    'playingfield', 'railroad', 'river', 'road', 'roof', 'sand', 'sea', 'shelf', 'snow', 'stairs',
    'tent', 'towel', 'wall-brick', 'wall-stone', 'wall-tile', 'wall-wood', 'water-other', 'window-blind',
    'window-other', 'tree-merged', 'fence-merged', 'ceiling-merged', 'sky-other-merged',
    'cabinet-merged', 'table-merged', 'floor-other-merged', 'pavement-merged', 'mountain-merged',
    'grass-merged', 'dirt-merged', 'paper-merged', 'food-other-merged', 'building-other-merged',
    'rock-merged', 'wall-other-merged', 'rug-merged')
known_things = tuple(filter(lambda name: name not in unknown, things))
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

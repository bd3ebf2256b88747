# Panoptic LMSeg on two halves of the toy scenes: one has segments of the objects, the other of the grounds.
# It is evaluated on both and on `scenes`, a label space with all of them that it was never trained on.
import os

_base_ = [
    '../_base_/models/lmseg_toy.py', '../_base_/schedules/lmseg_toy.py',
    'mmdet::_base_/default_runtime.py'
]

objects, grounds = ('bar', 'disc', 'ring', 'star', 'triangle'), ('brick', 'grass', 'sand', 'water')
scenes = objects + grounds
model = dict(
    type='mmext.LMSegPanoptic',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=_base_.mean,
        std=_base_.std,
        bgr_to_rgb=True,
        pad_size_divisor=32,
        pad_mask=True,
        pad_seg=True,
        seg_pad_value=255),
    panoptic_head=_base_.head,
    text_encoder=dict(type='mmext.TextTable', path='{{fileDirname}}/toy_names_minilm.safetensors'),
    taxonomies=dict(
        objects=dict(classes=objects, things=objects),
        grounds=dict(classes=grounds, things=()),
        scenes=dict(classes=scenes, things=objects)),
    default_taxonomy='scenes',
    test_cfg=dict(object_mask_thr=0.5, iou_thr=0.5))

data_root = os.environ.get('MMEXT_TOY_DATA', 'data/toy') + '/coco/'
meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip')
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmext.LoadPanoptic'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PhotoMetricDistortion'),
    dict(type='mmdet.PackDetInputs', meta_keys=meta_keys)
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
    dict(type='mmdet.PackDetInputs', meta_keys=meta_keys)
]


def dataset(name, classes, part, pipeline, indices, **kwargs):
    things = [one for one in classes if one in objects]
    return dict(
        name=name,
        dataset=dict(
            type='mmext.PanopticDataset',
            data_root=data_root,
            metainfo=dict(
                classes=classes,
                thing_classes=things,
                stuff_classes=[one for one in classes if one in grounds]),
            ann_file=f'annotations/panoptic_{part}.json',
            data_prefix=dict(img=part + '/', seg=f'annotations/panoptic_{part}/'),
            indices=indices,
            pipeline=pipeline,
            **kwargs))


batch_size = 8
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='mmext.MultiDatasetSampler', batch_size=batch_size),
    dataset=dict(
        type='mmext.MultiDataset',
        datasets=[
            dataset('objects', objects, 'train', train_pipeline, list(range(200)),
                    filter_cfg=dict(filter_empty_gt=True)),
            dataset('grounds', grounds, 'train', train_pipeline, list(range(200, 400))),
        ]))
val_dataloader = dict(
    batch_size=10,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmext.MultiDataset',
        datasets=[
            dataset(name, names, 'val', test_pipeline, list(range(start, start + 30)), test_mode=True)
            for name, names, start in (('objects', objects, 0), ('grounds', grounds, 30),
                                       ('scenes', scenes, 60))
        ]))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='mmext.MultiDatasetMetric',
    by_dataset={name: dict(
        type='mmext.PanopticMetric',
        ann_file=data_root + 'annotations/panoptic_val.json',
        seg_prefix=data_root + 'annotations/panoptic_val/')
                for name in ('objects', 'grounds', 'scenes')})
test_evaluator = val_evaluator

default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=8, max_keep_ckpts=2))

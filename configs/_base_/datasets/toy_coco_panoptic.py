# Toy scenes, COCO format: panoptic segments. Made by tools/dataset_converters/make_toy_data.py
# mmdet reads panoptic annotations with panopticapi, which is not on the package registries:
#   pip install git+https://github.com/cocodataset/panopticapi.git
import os

_base_ = '../pipelines/coco_format.py'

dataset_type = 'mmdet.CocoPanopticDataset'
data_root = os.environ.get('MMEXT_TOY_DATA', 'data/toy') + '/coco/'
metainfo = dict(
    classes=('bar', 'disc', 'ring', 'star', 'triangle', 'brick', 'grass', 'sand', 'water'),
    thing_classes=('bar', 'disc', 'ring', 'star', 'triangle'),
    stuff_classes=('brick', 'grass', 'sand', 'water'),
    palette=[(230, 25, 75), (60, 120, 216), (245, 130, 49), (250, 210, 60), (145, 60, 180),
             (140, 75, 60), (70, 140, 60), (210, 190, 130), (60, 140, 190)])

train_pipeline = _base_.train_pipeline
train_pipeline[1] = dict(type='mmdet.LoadPanopticAnnotations')
test_pipeline = _base_.test_pipeline
test_pipeline[2] = dict(type='mmdet.LoadPanopticAnnotations')
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/panoptic_train.json',
        data_prefix=dict(img='train/', seg='annotations/panoptic_train/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/panoptic_val.json',
        data_prefix=dict(img='val/', seg='annotations/panoptic_val/'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    type='mmdet.CocoPanopticMetric',
    ann_file=data_root + 'annotations/panoptic_val.json',
    seg_prefix=data_root + 'annotations/panoptic_val/')
test_evaluator = val_evaluator

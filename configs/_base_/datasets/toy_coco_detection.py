# Toy scenes, COCO format: boxes. Made by tools/dataset_converters/make_toy_data.py
import os

_base_ = '../pipelines/coco_format.py'

data_root = os.environ.get('MMEXT_TOY_DATA', 'data/toy') + '/coco/'
metainfo = dict(
    classes=('bar', 'disc', 'ring', 'star', 'triangle'),
    palette=[(230, 25, 75), (60, 120, 216), (245, 130, 49), (250, 210, 60), (145, 60, 180)])

train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/')))
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/')))
test_dataloader = val_dataloader

val_evaluator = dict(
    type='mmext.CocoMetric',
    ann_file=data_root + 'annotations/instances_val.json',
    metric='bbox')
test_evaluator = val_evaluator

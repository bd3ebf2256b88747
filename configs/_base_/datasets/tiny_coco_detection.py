# Fifty real COCO images for training, fifty for validation: boxes.
# MMEXT_REAL_DATA names the folder that holds tiny_coco.
import os

_base_ = '../pipelines/coco_format.py'

data_root = os.environ.get('MMEXT_REAL_DATA', 'data') + '/tiny_coco/'

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(320, 320))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(320, 320))
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    type='mmext.CocoMetric',
    ann_file=data_root + 'annotations/instances_val2017.json',
    metric='bbox')
test_evaluator = val_evaluator

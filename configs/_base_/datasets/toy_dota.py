# Toy scenes, DOTA format: oriented boxes. Made by tools/dataset_converters/make_toy_data.py
import os

_base_ = '../pipelines/dota_format.py'

dataset_type = 'mmrotate.DOTADataset'
data_root = os.environ.get('MMEXT_TOY_DATA', 'data/toy') + '/dota/'
metainfo = dict(
    classes=('bar', 'disc', 'ring', 'star', 'triangle'),
    palette=[(230, 25, 75), (60, 120, 216), (245, 130, 49), (250, 210, 60), (145, 60, 180)])

train_pipeline, val_pipeline = _base_.train_pipeline, _base_.val_pipeline
train_pipeline[3].scale = val_pipeline[1].scale = (128, 128)
test_pipeline = val_pipeline
# difficult objects are ignored, as DOTA's own evaluation does
source = dict(type=dataset_type, data_root=data_root, metainfo=metainfo, diff_thr=0)
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        **source,
        ann_file='train/annfiles/',
        data_prefix=dict(img_path='train/images/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8,
    dataset=dict(
        **source,
        ann_file='val/annfiles/',
        data_prefix=dict(img_path='val/images/'),
        pipeline=val_pipeline))
test_dataloader = val_dataloader

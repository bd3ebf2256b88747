# Three real ADE20K images with all 150 classes, for training and validation alike.
# MMEXT_REAL_DATA names the folder that holds ade20k_sample.
import os

_base_ = '../pipelines/ade20k_format.py'

dataset_type = 'mmseg.ADE20KDataset'
data_root = os.environ.get('MMEXT_REAL_DATA', 'data') + '/ade20k_sample/'

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(512, 128), ratio_range=(0.5, 2.0))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(512, 128))
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms[0] = [
    dict(type='mmseg.Resize', scale=(int(512 * ratio), int(128 * ratio)), keep_ratio=True)
    for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
]
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images', seg_map_path='annotations'),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images', seg_map_path='annotations'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

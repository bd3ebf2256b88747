# Two real DOTA images with their published labels (with header lines), for training and
# validation alike. MMEXT_REAL_DATA names the folder that holds dota_sample.
import os

_base_ = '../pipelines/dota_format.py'

dataset_type = 'mmext.RawDOTADataset'
data_root = os.environ.get('MMEXT_REAL_DATA', 'data') + '/dota_sample/'

train_pipeline, val_pipeline = _base_.train_pipeline, _base_.val_pipeline
train_pipeline[3].scale = val_pipeline[1].scale = (512, 512)
test_pipeline = val_pipeline
source = dict(
    type=dataset_type,
    data_root=data_root,
    diff_thr=0,  # difficult objects are ignored, as DOTA's own evaluation does
    ann_file='labelTxt/',
    data_prefix=dict(img_path='images/'))
train_dataloader = dict(dataset=dict(**source, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(**source, pipeline=val_pipeline))
test_dataloader = val_dataloader

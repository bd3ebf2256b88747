# Toy scenes, ADE20K format: objects and backgrounds; 0 in the label maps is unlabelled.
# Made by tools/dataset_converters/make_toy_data.py
import os

_base_ = '../pipelines/ade20k_format.py'

dataset_type = 'mmseg.BaseSegDataset'
data_root = os.environ.get('MMEXT_TOY_DATA', 'data/toy') + '/ade20k/'
metainfo = dict(
    classes=('bar', 'disc', 'ring', 'star', 'triangle', 'brick', 'grass', 'sand', 'water'),
    palette=[(230, 25, 75), (60, 120, 216), (245, 130, 49), (250, 210, 60), (145, 60, 180),
             (140, 75, 60), (70, 140, 60), (210, 190, 130), (60, 140, 190)])

train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=metainfo,
        img_suffix='.png',
        seg_map_suffix='.png',
        reduce_zero_label=True,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training')))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=metainfo,
        img_suffix='.png',
        seg_map_suffix='.png',
        reduce_zero_label=True,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation')))
test_dataloader = val_dataloader

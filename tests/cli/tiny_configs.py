"""One small config per host, each over that host's own files and the toy data."""
from __future__ import annotations

from pathlib import Path

DATASETS = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'

_RESNET = 'depth=18, base_channels=8, stem_channels=8'

DETECTION = f"""
_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', '{DATASETS}/toy_coco_detection.py',
          'mmdet::_base_/schedules/schedule_1x.py', 'mmdet::_base_/default_runtime.py']
model = dict(
    backbone=dict({_RESNET}),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=8),
    bbox_head=dict(num_classes=5, in_channels=8, feat_channels=8, stacked_convs=1),
    test_cfg=dict(nms_pre=20, score_thr=0.0, max_per_img=5))
"""

# An epoch-based loop over stacked wrappers, and a hook that counts epochs.
WRAPPED = """
_base_ = 'detection.py'
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type='RepeatDataset', times=2,
        dataset=dict(type='ClassBalancedDataset', oversample_thr=0.1,
                     dataset={{_base_.train_dataloader.dataset}})))
train_cfg = dict(val_begin=5, dynamic_intervals=[(10, 1)])
default_hooks = dict(checkpoint=dict(interval=4, save_best='auto', save_begin=4))
custom_hooks = [dict(type='EMAHook', begin_epoch=0, momentum=0.1)]
"""

SEGMENTATION = f"""
_base_ = ['mmseg::_base_/models/fpn_r50.py', '{DATASETS}/toy_ade20k.py',
          'mmseg::_base_/default_runtime.py', 'mmseg::_base_/schedules/schedule_20k.py']
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(type='ResNet', {_RESNET}),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=8),
    decode_head=dict(in_channels=[8, 8, 8, 8], channels=8, num_classes=9,
                     norm_cfg=dict(type='BN')))
"""

# An iteration-based loop over concatenated datasets.
CONCATENATED = """
_base_ = 'segmentation.py'
dataset = {{_base_.train_dataloader.dataset}}
train_dataloader = dict(
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=[dataset, dataset]))
"""

CLASSIFICATION = f"""
_base_ = ['mmpretrain::_base_/models/resnet18.py', '{DATASETS}/toy_imagenet.py',
          'mmpretrain::_base_/schedules/imagenet_bs256.py',
          'mmpretrain::_base_/default_runtime.py']
model = dict(
    backbone=dict(base_channels=8, stem_channels=8),
    head=dict(num_classes=5, in_channels=64, topk=(1, )))
# as _base_ = 'mmpretrain::...' leaves it
train_dataloader = dict(collate_fn=dict(type='default_collate', _scope_='mmpretrain'))
"""

ROTATED = f"""
_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', '{DATASETS}/toy_dota.py',
          'mmrotate::_base_/schedules/schedule_1x.py', 'mmrotate::_base_/default_runtime.py']
model = dict(
    data_preprocessor=dict(boxtype2tensor=False),
    backbone=dict({_RESNET}),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=8),
    bbox_head=dict(
        num_classes=5, in_channels=8, feat_channels=8, stacked_convs=1,
        anchor_generator=dict(_delete_=True, type='mmrotate.FakeRotatedAnchorGenerator',
                              angle_version='le90', octave_base_scale=4, scales_per_octave=3,
                              ratios=[1.0, 0.5, 2.0], strides=[8, 16, 32, 64, 128]),
        bbox_coder=dict(_delete_=True, type='mmrotate.DeltaXYWHTRBBoxCoder',
                        angle_version='le90')),
    train_cfg=dict(assigner=dict(iou_calculator=dict(type='mmrotate.RBboxOverlaps2D'))),
    test_cfg=dict(nms_pre=20, score_thr=0.0, nms=dict(type='nms_rotated', iou_threshold=0.1),
                  max_per_img=5))
"""

CONFIGS = {
    'detection': DETECTION,
    'wrapped': WRAPPED,
    'segmentation': SEGMENTATION,
    'concatenated': CONCATENATED,
    'classification': CLASSIFICATION,
    'rotated': ROTATED,
}


def write(folder: Path) -> dict[str, Path]:
    """Write all of them into ``folder``; the path of each by name."""
    paths = {}
    for name, text in CONFIGS.items():
        paths[name] = folder / f'{name}.py'
        paths[name].write_text(text)
    return paths

"""Real images: a host's model, and EMOv2 in its place, train and are evaluated by the protocol."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmext.cli import train

ROOT = Path(__file__).parents[2]
DATASETS = ROOT / 'configs' / '_base_' / 'datasets'
EMOV2 = "dict(_delete_=True, type='mmext.EMOv2', arch='1M', window_size=10)"
IN_CHANNELS = [32, 48, 80, 180]

CASES = {
    'coco-retinanet-r18': f"""
_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', '{DATASETS}/tiny_coco_detection.py',
          'mmdet::_base_/schedules/schedule_1x.py', 'mmdet::_base_/default_runtime.py']
model = dict(backbone=dict(depth=18, init_cfg=None), neck=dict(in_channels=[64, 128, 256, 512]))
""",
    'coco-retinanet-emov2': f"""
_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', '{DATASETS}/tiny_coco_detection.py',
          'mmdet::_base_/schedules/schedule_1x.py', 'mmdet::_base_/default_runtime.py']
model = dict(backbone={EMOV2}, neck=dict(in_channels={IN_CHANNELS}))
""",
    'coco-mask-rcnn-emov2': f"""
_base_ = ['mmdet::_base_/models/mask-rcnn_r50_fpn.py', '{DATASETS}/tiny_coco_instance.py',
          'mmdet::_base_/schedules/schedule_1x.py', 'mmdet::_base_/default_runtime.py']
model = dict(backbone={EMOV2}, neck=dict(in_channels={IN_CHANNELS}))
""",
    'ade20k-fpn-emov2': f"""
_base_ = ['mmseg::_base_/models/fpn_r50.py', '{DATASETS}/ade20k_sample.py',
          'mmseg::_base_/default_runtime.py', 'mmseg::_base_/schedules/schedule_20k.py']
model = dict(
    data_preprocessor=dict(size=(128, 128)), pretrained=None, backbone={EMOV2},
    neck=dict(in_channels={IN_CHANNELS}),
    decode_head=dict(num_classes=150, norm_cfg=dict(type='BN')))
""",
    'dota-rotated-retinanet-emov2': f"""
_base_ = '{ROOT}/configs/emov2/rotated-retinanet-rbox-le90_emov2-5m_fpn_1x_dota.py'
import os
root = os.environ['MMEXT_REAL_DATA'] + '/dota_sample/'
test_pipeline = [
    dict(type='mmdet.LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(256, 256), keep_ratio=True),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, box_type='qbox'),
    dict(type='ConvertBoxType', box_type_mapping=dict(gt_bboxes='rbox')),
    dict(type='mmdet.PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
dataset = dict(type='mmext.RawDOTADataset', data_root=root, ann_file='labelTxt/',
               data_prefix=dict(img_path='images/'), pipeline=test_pipeline)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
model = dict(backbone=dict(init_cfg=None))
""",
}
METRICS = {'coco': 'coco/bbox_mAP', 'ade20k': 'mIoU', 'dota': 'dota/mAP'}


SLOW = ('coco-mask-rcnn-emov2', )


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in CASES])
def test_trains_and_evaluates(name: str, real_data: Path, tmp_path: Path) -> None:
    config = tmp_path / 'config.py'
    config.write_text(CASES[name])
    assert train.main([str(config), '--smoke', '--work-dir', str(tmp_path / 'run')]) == 0
    rows = [json.loads(line) for path in (tmp_path / 'run').glob('*/vis_data/scalars.json')
            for line in path.read_text().splitlines()]
    losses = [row['loss'] for row in rows if 'loss' in row]
    assert losses and all(0 < loss < 1e4 for loss in losses)
    validations = [row for row in rows if 'loss' not in row]
    assert validations, 'was not evaluated'
    metric = METRICS[name.split('-')[0]]
    for row in validations:
        # mmdet gives no figures at all when an untrained model finds nothing.
        assert 0 <= row.get(metric, 0) <= 100

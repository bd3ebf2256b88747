"""Tiny untrained host models over the toy data, one config file per task."""
from __future__ import annotations

from pathlib import Path

CONFIGS = Path(__file__).parents[2] / 'configs'

_RESNET = """dict(
    type='{host}.ResNet', depth=18, base_channels=8, stem_channels=8, num_stages=4,
    out_indices=(0, 1, 2, 3), style='pytorch')"""
_FPN = "dict(type='mmdet.FPN', in_channels=[8, 16, 32, 64], out_channels=16, num_outs=4)"
_DET_PREPROCESSOR = """dict(
    type='mmdet.DetDataPreprocessor', mean=[124, 116, 104], std=[58, 57, 57], bgr_to_rgb=True,
    pad_size_divisor=32{more})"""

_DETECTION = """
model = dict(
    type='ATSS', data_preprocessor={preprocessor},
    backbone={resnet}, neck={fpn},
    bbox_head=dict(
        type='ATSSHead', num_classes=5, in_channels=16, stacked_convs=1, feat_channels=16,
        norm_cfg=dict(type='GN', num_groups=4),
        anchor_generator=dict(type='AnchorGenerator', ratios=[1.0], octave_base_scale=4,
                              scales_per_octave=1, strides=[4, 8, 16, 32]),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True), loss_bbox=dict(type='GIoULoss')),
    train_cfg=dict(assigner=dict(type='ATSSAssigner', topk=9), allowed_border=-1, pos_weight=-1),
    test_cfg=dict(nms_pre=50, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.6),
                  max_per_img=6))
visualizer = dict(type='DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
"""
_INSTANCE = """
model = dict(
    type='RTMDet', data_preprocessor={preprocessor},
    backbone={resnet}, neck=dict(type='mmdet.FPN', in_channels=[16, 32, 64], start_level=0,
                                 out_channels=16, num_outs=3),
    bbox_head=dict(
        type='RTMDetInsHead', num_classes=5, in_channels=16, stacked_convs=1, feat_channels=16,
        num_prototypes=4, dyconv_channels=4, num_dyconvs=2, norm_cfg=dict(type='BN'),
        anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[8, 16, 32]),
        bbox_coder=dict(type='DistancePointBBoxCoder')),
    test_cfg=dict(nms_pre=50, min_bbox_size=0, score_thr=0.0, mask_thr_binary=0.5,
                  nms=dict(type='nms', iou_threshold=0.6), max_per_img=4))
model['backbone']['out_indices'] = (1, 2, 3)
"""
_PANOPTIC = """
model = dict(
    type='MaskFormer', data_preprocessor={preprocessor}, backbone={resnet},
    panoptic_head=dict(
        type='MaskFormerHead', in_channels=[8, 16, 32, 64], feat_channels=32, out_channels=32,
        num_things_classes=5, num_stuff_classes=4, num_queries=6,
        pixel_decoder=dict(type='PixelDecoder', norm_cfg=dict(type='GN', num_groups=4),
                           act_cfg=dict(type='ReLU')),
        positional_encoding=dict(num_feats=16, normalize=True),
        transformer_decoder=dict(
            num_layers=1, return_intermediate=True,
            layer_cfg=dict(self_attn_cfg=dict(embed_dims=32, num_heads=4),
                           cross_attn_cfg=dict(embed_dims=32, num_heads=4),
                           ffn_cfg=dict(embed_dims=32, feedforward_channels=32))),
        loss_cls=dict(type='CrossEntropyLoss', class_weight=[1.0] * 10),
        loss_mask=dict(type='CrossEntropyLoss', use_sigmoid=True),
        loss_dice=dict(type='DiceLoss')),
    panoptic_fusion_head=dict(type='MaskFormerFusionHead', num_things_classes=5,
                              num_stuff_classes=4),
    test_cfg=dict(panoptic_on=True, semantic_on=False, instance_on=True, max_per_image=4,
                  object_mask_thr=0.0, iou_thr=0.0))
"""
_ROTATED = """
angle_version = 'le90'
model = dict(
    type='mmdet.RetinaNet', data_preprocessor={preprocessor},
    backbone={resnet}, neck={fpn},
    bbox_head=dict(
        type='mmdet.RetinaHead', num_classes=5, in_channels=16, stacked_convs=1, feat_channels=16,
        anchor_generator=dict(type='FakeRotatedAnchorGenerator', angle_version=angle_version,
                              octave_base_scale=4, scales_per_octave=1, ratios=[1.0],
                              strides=[4, 8, 16, 32]),
        bbox_coder=dict(type='DeltaXYWHTRBBoxCoder', angle_version=angle_version,
                        norm_factor=None, edge_swap=True, proj_xy=True,
                        target_means=(0, 0, 0, 0, 0), target_stds=(1, 1, 1, 1, 1)),
        loss_cls=dict(type='mmdet.FocalLoss', use_sigmoid=True),
        loss_bbox=dict(type='mmdet.L1Loss')),
    test_cfg=dict(nms_pre=50, min_bbox_size=0, score_thr=0.0,
                  nms=dict(type='nms_rotated', iou_threshold=0.1), max_per_img=6))
visualizer = dict(type='RotLocalVisualizer')
"""
_SEMANTIC = """
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[124, 116, 104], std=[58, 57, 57],
                           bgr_to_rgb=True, pad_val=0, seg_pad_val=255, size=(128, 128)),
    backbone={resnet},
    decode_head=dict(type='FCNHead', in_channels=64, in_index=3, channels=16, num_convs=1,
                     concat_input=False, dropout_ratio=0.1, num_classes=9, align_corners=False),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
visualizer = dict(type='SegLocalVisualizer')
"""
_CLASSIFICATION = """
model = dict(
    type='ImageClassifier', backbone=dict(type='ResNet', depth=18, base_channels=8,
                                          stem_channels=8),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=64, topk=(1, )))
visualizer = dict(type='UniversalVisualizer')
"""

# task -> (host, toy data set, text of the model)
TASKS = {
    'detection': ('mmdet', 'toy_coco_detection', _DETECTION),
    'instance segmentation': ('mmdet', 'toy_coco_instance', _INSTANCE),
    'panoptic segmentation': ('mmdet', 'toy_coco_panoptic', _PANOPTIC),
    'rotated detection': ('mmrotate', 'toy_dota', _ROTATED),
    'semantic segmentation': ('mmseg', 'toy_ade20k', _SEMANTIC),
    'classification': ('mmpretrain', 'toy_imagenet', _CLASSIFICATION),
}


def write_config(task: str, folder: Path) -> Path:
    """Write a task's config file into ``folder``."""
    host, data, model = TASKS[task]
    backbone_host = 'mmdet' if host == 'mmrotate' else host
    more = ", boxtype2tensor=False" if host == 'mmrotate' else ''
    text = model.format(resnet=_RESNET.format(host=backbone_host), fpn=_FPN,
                        preprocessor=_DET_PREPROCESSOR.format(more=more))
    path = folder / f'{task.replace(" ", "_")}.py'
    path.write_text(f"_base_ = ['{CONFIGS}/_base_/datasets/{data}.py']\n"
                    f"default_scope = '{host}'\n{text}")
    return path

# The student of mgd_r18_toy.py on the labelled eighth alone: the baseline.
_base_ = [
    '../_base_/datasets/toy_ade20k.py', 'mmseg::_base_/default_runtime.py',
    '../_base_/schedules/segmentor_toy.py'
]

norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(128, 128)),
    backbone=dict(
        type='mmext.MultiGridResNet',
        depth=18,
        deep_stem=True,
        stem_channels=16,
        base_channels=16,
        norm_cfg=norm_cfg),
    decode_head=dict(
        type='mmext.CPSDeepLabHead',
        in_channels=[16, 128],
        channels=32,
        low_channels=16,
        dilation_rates=(2, 4, 6),
        num_classes=9,
        norm_cfg=norm_cfg),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))
train_dataloader = dict(dataset=dict(indices=50))

# The student of mgd_r18_toy.py on the labelled eighth alone: the baseline.
_base_ = [
    '../_base_/models/segmentor_toy.py', '../_base_/datasets/toy_ade20k.py',
    '../_base_/schedules/segmentor_toy.py', 'mmseg::_base_/default_runtime.py'
]

norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
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
        norm_cfg=norm_cfg))
train_dataloader = dict(dataset=dict(indices=50))

# Semantic FPN, made small. A config adds its backbone and the neck's in_channels.
_base_ = 'mmseg::_base_/models/fpn_r50.py'

num_classes = 9
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    pretrained=None,
    neck=dict(out_channels=64),
    decode_head=dict(
        in_channels=[64, 64, 64, 64], channels=64, num_classes=num_classes,
        norm_cfg=dict(type='BN', requires_grad=True)))

# A host's ResNet-18 as the detector of the toy objects: the teacher of
# pkd_atss_emov2-resnet18_toy.py.
_base_ = '../emov2/atss_emov2_fpn_toy.py'

model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18, out_indices=(0, 1, 2, 3)),
    neck=dict(in_channels=[64, 128, 256, 512]))

# A host's ResNet-18 as the segmentor of the toy scenes: the teacher of
# cwd_fpn_emov2-resnet18_toy.py.
_base_ = '../emov2/fpn_emov2_toy.py'

model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18, out_indices=(0, 1, 2, 3)),
    neck=dict(in_channels=[64, 128, 256, 512]))

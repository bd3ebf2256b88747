# A host's ResNet-18 as the rotated detector of the toy scenes: the teacher of pkd_rotated-
# retinanet_emov2-resnet18_toy.py.
_base_ = '../emov2/rotated-retinanet-rbox-le90_emov2_fpn_toy.py'

model = dict(
    backbone=dict(_delete_=True, type='mmdet.ResNet', depth=18, out_indices=(0, 1, 2, 3)),
    neck=dict(in_channels=[64, 128, 256, 512]))

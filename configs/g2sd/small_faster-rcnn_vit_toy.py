# The student of g2sd_faster-rcnn_vit_toy.py alone: the baseline.
_base_ = './teacher_faster-rcnn_vit_toy.py'

model = dict(
    backbone=dict(arch=dict(embed_dims=32, num_heads=2, feedforward_channels=64)),
    neck=dict(in_channels=32))

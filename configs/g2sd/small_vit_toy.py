# The student of vit_g2sd_toy.py alone: the baseline.
_base_ = './teacher_vit_toy.py'

model = dict(
    backbone=dict(arch=dict(embed_dims=48, num_layers=4, num_heads=3, feedforward_channels=96)),
    head=dict(in_channels=48))

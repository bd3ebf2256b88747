# The student of g2sd_upernet_vit_toy.py alone: the baseline.
_base_ = './teacher_upernet_vit_toy.py'

model = dict(
    backbone=dict(embed_dims=32, num_heads=2),
    neck=dict(embed_dim=32),
    decode_head=dict(in_channels=[32, 32, 32, 32], channels=16))

# The wide teacher of mgd_r18_toy.py, trained on the labelled eighth.
_base_ = './supervised_r18_toy.py'

model = dict(backbone=dict(stem_channels=32, base_channels=32), decode_head=dict(in_channels=[32, 256]))

# The deep teacher of mgd_r18_toy.py, trained on the labelled eighth.
_base_ = './supervised_r18_toy.py'

model = dict(backbone=dict(depth=34))

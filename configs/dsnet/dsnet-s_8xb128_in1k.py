# As DS-Net-T, with DS-Net-S. Published top-1 82.3.
_base_ = './dsnet-t_8xb128_in1k.py'

model = dict(backbone=dict(arch='S'))

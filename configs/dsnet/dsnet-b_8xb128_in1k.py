# As DS-Net-T, with DS-Net-B. Published top-1 83.1.
_base_ = './dsnet-t_8xb128_in1k.py'

model = dict(backbone=dict(arch='B'))

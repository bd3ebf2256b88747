# EMOv2-20M on ImageNet-1K, as the 5M model.
_base_ = './emov2-5m_8xb128_in1k.py'

model = dict(backbone=dict(arch='20M'), head=dict(in_channels=448))

# EMOv2-2M on ImageNet-1K, as the 5M model. Published top-1 75.8.
_base_ = './emov2-5m_8xb128_in1k.py'

model = dict(backbone=dict(arch='2M'), head=dict(in_channels=200))

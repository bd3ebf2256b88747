# EMOv2-50M on ImageNet-1K, as the 5M model.
_base_ = './emov2-5m_8xb128_in1k.py'

model = dict(backbone=dict(arch='50M'), head=dict(in_channels=512))

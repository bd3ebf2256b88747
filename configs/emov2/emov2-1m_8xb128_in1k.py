# EMOv2-1M on ImageNet-1K, as the 5M model. Published top-1 72.3.
_base_ = './emov2-5m_8xb128_in1k.py'

model = dict(backbone=dict(arch='1M'), head=dict(in_channels=180))

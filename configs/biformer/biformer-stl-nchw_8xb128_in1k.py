# BiFormer-STL with the refactored attention on ImageNet-1K. Published top-1 82.7.
_base_ = './biformer-stl_8xb128_in1k.py'

model = dict(backbone=dict(layout='nchw'))

# BiFormer-B on ImageNet-1K. Published top-1 84.3; the drop path rate is not in the authors' code.
_base_ = './biformer-s_8xb128_in1k.py'

model = dict(backbone=dict(arch='base', drop_path_rate=0.4), head=dict(in_channels=768))

# BiFormer-T on ImageNet-1K. Published top-1 81.4; the drop path rate is not in the authors' code.
_base_ = './biformer-s_8xb128_in1k.py'

model = dict(backbone=dict(arch='tiny', drop_path_rate=0.1))

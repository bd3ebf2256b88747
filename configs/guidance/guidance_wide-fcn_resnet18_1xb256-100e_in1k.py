# 3 wide fully connected layers, guided by a trained ResNet-18. Published top-5: 43.01 (34.09 alone).
_base_ = 'guidance_deep-fcn_resnet18_1xb256-100e_in1k.py'

model = dict(student=dict(backbone=dict(arch='wide'), head=dict(in_channels=8192)))

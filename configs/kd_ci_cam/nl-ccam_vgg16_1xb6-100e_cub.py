# NL-CCAM of VGG-16 on CUB-200-2011, the baseline without context: top-1 / GT-known localisation
# 65.53 / 87.45.
_base_ = './ci-cam_vgg16_1xb6-100e_cub.py'

model = dict(head=dict(context=None))
param_scheduler = [dict(type='PolyLR', power=0.9, end=101, by_epoch=True)]

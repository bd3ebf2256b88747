# DMT, as ViT-T, for ViT-B.
_base_ = './dmt_vit-tiny-p16_8xb512-coslr-300e_in1k.py'

model = dict(student=dict(backbone=dict(arch='base')))

# As with DS-Net-S, with DS-Net-B.
_base_ = './upernet_dsnet-s_8xb2-160k_ade20k-512x512.py'

pretrained = dict(
    type='Pretrained',
    prefix='backbone.',
    checkpoint='work_dirs/dsnet-b_8xb128_in1k/epoch_300.pth')
model = dict(backbone=dict(arch='B', init_cfg=pretrained))

# As with DS-Net-S, with DS-Net-T.
_base_ = './fpn_dsnet-s_8xb4-80k_ade20k-512x512.py'

pretrained = dict(
    type='Pretrained',
    prefix='backbone.',
    checkpoint='work_dirs/dsnet-t_8xb128_in1k/epoch_300.pth')
model = dict(backbone=dict(arch='T', drop_path_rate=0.1, init_cfg=pretrained))

# As with DS-Net-S, with DS-Net-T.
_base_ = './retinanet_dsnet-s_dsfpn_8xb2-1x_coco.py'

pretrained = dict(
    type='Pretrained',
    prefix='backbone.',
    checkpoint='work_dirs/dsnet-t_8xb128_in1k/epoch_300.pth')
model = dict(backbone=dict(arch='T', init_cfg=pretrained))

# As the 5M model, with EMOv2-2M. Published mIoU 35.7.
_base_ = './pspnet_emov2-5m_4xb8-80k_ade20k-512x512.py'

pretrained = dict(
    type='Pretrained',
    checkpoint='https://github.com/zhangzjn/data/raw/main/emov2_pretrained_weights/EMOv2_2M_224.pth')
model = dict(
    backbone=dict(arch='2M', init_cfg=pretrained),
    decode_head=dict(in_channels=200),
    auxiliary_head=dict(in_channels=120))

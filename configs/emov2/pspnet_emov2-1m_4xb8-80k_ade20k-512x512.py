# As the 5M model, with EMOv2-1M. Published mIoU 33.6.
_base_ = './pspnet_emov2-5m_4xb8-80k_ade20k-512x512.py'

pretrained = dict(
    type='Pretrained',
    checkpoint='https://github.com/zhangzjn/data/raw/main/emov2_pretrained_weights/EMOv2_1M_224.pth')
model = dict(
    backbone=dict(arch='1M', init_cfg=pretrained),
    decode_head=dict(in_channels=180),
    auxiliary_head=dict(in_channels=80))

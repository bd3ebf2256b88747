# As the 5M model, with EMOv2-20M. Published mIoU 43.3.
_base_ = './deeplabv3_emov2-5m_4xb8-80k_ade20k-512x512.py'

# The authors have not published these weights: train emov2-20m_8xb128_in1k.py first.
pretrained = dict(
    type='Pretrained',
    prefix='backbone.',
    checkpoint='work_dirs/emov2-20m_8xb128_in1k/epoch_300.pth')
model = dict(
    backbone=dict(arch='20M', init_cfg=pretrained),
    decode_head=dict(in_channels=448),
    auxiliary_head=dict(in_channels=320))

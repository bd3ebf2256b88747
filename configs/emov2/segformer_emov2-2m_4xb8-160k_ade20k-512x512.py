# As the 5M model, with EMOv2-2M. Published mIoU 40.2.
_base_ = './segformer_emov2-5m_4xb8-160k_ade20k-512x512.py'

pretrained = dict(
    type='Pretrained',
    checkpoint='https://github.com/zhangzjn/data/raw/main/emov2_pretrained_weights/EMOv2_2M_224.pth')
model = dict(
    backbone=dict(arch='2M', init_cfg=pretrained),
    decode_head=dict(in_channels=[32, 48, 120, 200]))

# As the 5M model, with EMOv2-1M. Published box AP 36.9.
_base_ = './retinanet_emov2-5m_fpn_4xb4-1x_coco.py'

pretrained = dict(
    type='Pretrained',
    checkpoint='https://github.com/zhangzjn/data/raw/main/emov2_pretrained_weights/EMOv2_1M_224.pth')
model = dict(
    backbone=dict(arch='1M', init_cfg=pretrained),
    neck=dict(in_channels=[32, 48, 80, 180]))

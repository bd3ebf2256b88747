# As the 5M model, with EMOv2-1M. Published box AP 22.3.
_base_ = './ssdlite_emov2-5m_8xb24-600e_coco.py'

pretrained = dict(
    type='Pretrained',
    checkpoint='https://github.com/zhangzjn/data/raw/main/emov2_pretrained_weights/EMOv2_1M_224.pth')
model = dict(
    backbone=dict(arch='1M', init_cfg=pretrained),
    neck=dict(in_channels=(80, 180), out_channels=(80, 180, 512, 256, 256, 128)),
    bbox_head=dict(in_channels=(80, 180, 512, 256, 256, 128)))

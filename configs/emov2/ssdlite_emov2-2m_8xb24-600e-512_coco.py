# As the 5M model at 512 px, with EMOv2-2M. Published box AP 30.7.
_base_ = './ssdlite_emov2-5m_8xb24-600e-512_coco.py'

pretrained = dict(
    type='Pretrained',
    checkpoint='https://github.com/zhangzjn/data/raw/main/emov2_pretrained_weights/EMOv2_2M_224.pth')
model = dict(
    backbone=dict(arch='2M', init_cfg=pretrained),
    neck=dict(in_channels=(120, 200), out_channels=(120, 200, 512, 256, 256, 128)),
    bbox_head=dict(in_channels=(120, 200, 512, 256, 256, 128)))

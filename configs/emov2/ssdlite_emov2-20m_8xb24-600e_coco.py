# As the 5M model, with EMOv2-20M. Published box AP 33.1.
_base_ = './ssdlite_emov2-5m_8xb24-600e_coco.py'

# The authors have not published these weights: train emov2-20m_8xb128_in1k.py first.
pretrained = dict(
    type='Pretrained',
    prefix='backbone.',
    checkpoint='work_dirs/emov2-20m_8xb128_in1k/epoch_300.pth')
model = dict(
    backbone=dict(arch='20M', init_cfg=pretrained),
    neck=dict(in_channels=(320, 448), out_channels=(320, 448, 512, 256, 256, 128)),
    bbox_head=dict(in_channels=(320, 448, 512, 256, 256, 128)))

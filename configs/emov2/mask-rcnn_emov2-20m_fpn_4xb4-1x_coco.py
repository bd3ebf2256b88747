# As the 5M model, with EMOv2-20M. Published box AP 44.2, mask AP 40.6.
_base_ = './mask-rcnn_emov2-5m_fpn_4xb4-1x_coco.py'

# The authors have not published these weights: train emov2-20m_8xb128_in1k.py first.
pretrained = dict(
    type='Pretrained',
    prefix='backbone.',
    checkpoint='work_dirs/emov2-20m_8xb128_in1k/epoch_300.pth')
model = dict(
    backbone=dict(arch='20M', init_cfg=pretrained),
    neck=dict(in_channels=[64, 128, 320, 448]))

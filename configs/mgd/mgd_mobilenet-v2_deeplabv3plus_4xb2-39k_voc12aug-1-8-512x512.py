# As ResNet-18, with MobileNetV2 (stride 32). No published number for this split.
_base_ = './mgd_r18_deeplabv3plus_4xb2-39k_voc12aug-1-8-512x512.py'

student = dict(
    backbone=dict(
        _delete_=True,
        type='mmext.MultiGridMobileNetV2',
        norm_cfg=_base_.norm_cfg,
        init_cfg=dict(type='Pretrained', checkpoint='mmcls://mobilenet_v2')),
    decode_head=dict(in_channels=[24, 320], in_index=[0, 1], low_channels=24))
model = dict(student=student, loss=dict(lambda_sem=0.0005, lambda_region=50.))
optim_wrapper = dict(optimizer=dict(lr=0.0035))

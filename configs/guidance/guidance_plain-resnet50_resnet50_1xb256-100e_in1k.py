# ResNet-50 without skip connections, guided by a trained ResNet-50. Published top-5: 78.91 (70.02 alone).
_base_ = 'guidance_deep-fcn_resnet18_1xb256-100e_in1k.py'

model = dict(
    student=dict(
        backbone=dict(_delete_=True, type='mmext.PlainResNet', depth=50),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(in_channels=2048)),
    teachers=dict(
        guide=dict(
            model='mmpretrain::resnet/resnet50_8xb32_in1k.py',
            checkpoint='https://mmassets.onedl.ai/mmclassification/v0/resnet/'
            'resnet50_8xb32_in1k_20210831-ea4938fc.pth')))

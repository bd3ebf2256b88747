# 48 fully connected layers, guided by a trained ResNet-18. Published top-5: 7.50 (1.65 alone).
_base_ = 'guidance_deep-fcn_resnet18-untrained_1xb256-100e_in1k.py'

model = dict(
    teachers=dict(
        guide=dict(
            random=False,
            checkpoint='https://mmassets.onedl.ai/mmclassification/v0/resnet/'
            'resnet18_8xb32_in1k_20210831-fbbb1da6.pth')))

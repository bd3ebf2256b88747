# 48 fully connected layers, guided by an untrained ResNet-18. Published top-5: 13.10 (1.65 alone).
# CKA is over the images of one device: 256 of them on one GPU, as published.
_base_ = 'deep-fcn_1xb256-100e_in1k.py'

# The types that the authors record, as far as ResNets and fully connected networks have them.
types = ['Conv2d', 'Linear', 'AdaptiveAvgPool2d']
model = dict(
    _delete_=True,
    type='mmext.Distiller',
    student=_base_.model,
    data_preprocessor=_base_.data_preprocessor,
    teachers=dict(
        guide=dict(
            model='mmpretrain::resnet/resnet18_8xb32_in1k.py', random=True, early_stop=False)),
    records=dict(
        own=dict(net='student', types=types),
        guiding=dict(net='guide', types=types)),
    losses=dict(
        loss_guidance=dict(
            loss=dict(type='mmext.GuidanceLoss', metric='cka'), pred='own', target='guiding')))
train_dataloader = dict(drop_last=True)  # CKA depends on how many images there are

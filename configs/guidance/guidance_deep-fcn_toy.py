# The same network guided by an untrained convolutional one.
_base_ = 'deep-fcn_toy.py'

types = ['Conv2d', 'Linear', 'AdaptiveAvgPool2d']
model = dict(
    _delete_=True,
    type='mmext.Distiller',
    student=_base_.model,
    data_preprocessor=_base_.data_preprocessor,
    teachers=dict(
        guide=dict(
            model=dict(
                type='ImageClassifier',
                backbone=dict(type='mmext.CIFARResNet', depths=[1, 1, 1]),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(type='LinearClsHead', num_classes=5, in_channels=64)),
            random=True,
            early_stop=False)),
    records=dict(
        own=dict(net='student', types=types),
        guiding=dict(net='guide', types=types)),
    losses=dict(
        loss_guidance=dict(
            loss=dict(type='mmext.GuidanceLoss'), pred='own', target='guiding')))

# A classifier of the toy objects. A config adds its backbone and the head's in_channels.
num_classes = 5
model = dict(
    type='ImageClassifier',
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=num_classes,
        topk=(1, ),
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0)))

# Search of a small residual network for the toy objects at 32 pixels, with ResNet-56 as the teacher:
# mmext search-student configs/diswot/search_cifar-resnet_toy.py. The config itself trains ResNet-20.
_base_ = [
    '../_base_/models/classifier_toy.py', '../_base_/datasets/toy_imagenet_32px.py',
    'mmpretrain::_base_/default_runtime.py'
]

model = dict(backbone=dict(type='mmext.CIFARResNet', depths=[3, 3, 3]), head=dict(in_channels=64))

max_epochs = 15
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=5)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=max_epochs, end=max_epochs, by_epoch=True,
         convert_to_iter_based=True)
]
auto_scale_lr = dict(base_batch_size=32)
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2), logger=dict(interval=5))

search = dict(
    teacher=dict(
        type='ImageClassifier',
        backbone=dict(type='mmext.CIFARResNet', depths=[9, 9, 9]),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=_base_.num_classes, in_channels=64)),
    space={
        'model.backbone.depths.0': [1, 2, 3, 4],
        'model.backbone.depths.1': [1, 2, 3, 4],
        'model.backbone.depths.2': [1, 2, 3, 4]
    },
    population=8,
    tournament=4,
    evaluations=24,
    batch_size=32,
    max_params=250e3)

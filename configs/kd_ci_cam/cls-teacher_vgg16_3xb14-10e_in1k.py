# The classification teacher of KD-CI-CAM, VGG-16, on ImageNet: top 1 / top-1 localisation 71.70 / 46.39. The
# authors start it from a network that they have trained for an epoch already, and take epoch 9.
_base_ = './ci-cam_vgg16_1xb80-20e_in1k.py'

model = dict(
    type='mmext.CICAMClassifier',
    aux_type=('fore', ),
    aux_rate=1.0,
    seg_thr=0.2,
    head=dict(up_weight=1.0, spa_weight=0.04))
train_dataloader = dict(batch_size=14)
train_cfg = dict(max_epochs=10)
optim_wrapper = dict(optimizer=dict(lr=2.5e-6))
param_scheduler = [
    dict(type='PolyLR', power=0.9, end=11, by_epoch=True),  # mmengine's ends a step early
    dict(type='StepLR', step_size=6, gamma=0.1, by_epoch=True),
]
auto_scale_lr = dict(base_batch_size=42)

# Relation-DETR, ResNet-50, 24 epochs: box AP 52.1 (paper).
_base_ = './relation-detr_r50_8xb2-12e_coco.py'

max_epochs = 24
train_cfg = dict(max_epochs=max_epochs)
# The authors do not state when the learning rate drops; here in the same proportion as in 12 epochs.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[20], gamma=0.1),
]

# F-O2DETR: the base model and its cascade head, 12 epochs from the base model's weights.
_base_ = './o2detr_r50_8xb2-50e_dota.py'

model = dict(refine_head=dict(type='mmext.O2DETRRefineHead', num_classes=15))
load_from = 'work_dirs/o2detr_r50_8xb2-50e_dota/epoch_50.pth'

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=1)
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[8, 11], gamma=0.1)
]

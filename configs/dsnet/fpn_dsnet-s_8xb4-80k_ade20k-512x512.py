# Semantic FPN with DS-Net-S on ADE20K, 80k iterations, batch 32. The paper has no segmentation:
# the recipe is that of Twins and its successors.
_base_ = [
    'mmseg::_base_/models/fpn_r50.py', 'mmseg::_base_/datasets/ade20k.py',
    'mmseg::_base_/default_runtime.py', 'mmseg::_base_/schedules/schedule_80k.py'
]

# Train dsnet-s_8xb128_in1k.py first, or give official weights here (see the README).
pretrained = dict(
    type='Pretrained',
    prefix='backbone.',
    checkpoint='work_dirs/dsnet-s_8xb128_in1k/epoch_300.pth')
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    pretrained=None,
    backbone=dict(
        _delete_=True, type='mmext.DSNet', arch='S', drop_path_rate=0.2, init_cfg=pretrained),
    neck=dict(in_channels=[64, 128, 320, 512]),
    decode_head=dict(num_classes=150))

sync_bn = 'torch'
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.))
train_dataloader = dict(batch_size=4, num_workers=4)

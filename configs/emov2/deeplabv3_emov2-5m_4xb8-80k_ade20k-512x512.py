# DeepLabv3 with EMOv2-5M on ADE20K, 80k iterations, batch 32. Published mIoU 39.8.
_base_ = [
    'mmseg::_base_/models/deeplabv3_r50-d8.py', 'mmseg::_base_/datasets/ade20k.py',
    'mmseg::_base_/default_runtime.py', '../_base_/schedules/emov2_80k.py'
]

pretrained = dict(
    type='Pretrained',
    checkpoint='https://github.com/zhangzjn/data/raw/main/emov2_pretrained_weights/EMOv2_5M_224.pth')
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    pretrained=None,
    backbone=dict(
        _delete_=True, type='mmext.EMOv2', arch='5M', window_size=10, init_cfg=pretrained),
    decode_head=dict(in_channels=288, channels=256, num_classes=150),
    auxiliary_head=dict(in_channels=160, num_classes=150))

train_dataloader = dict(batch_size=8, num_workers=8)

# SegFormer head with EMOv2-5M on ADE20K, 160k iterations, batch 32. Published mIoU 43.0.
_base_ = [
    'mmseg::_base_/models/segformer_mit-b0.py', 'mmseg::_base_/datasets/ade20k.py',
    'mmseg::_base_/default_runtime.py', '../_base_/schedules/emov2_160k.py'
]

pretrained = dict(
    type='Pretrained',
    checkpoint='https://github.com/zhangzjn/data/raw/main/emov2_pretrained_weights/EMOv2_5M_224.pth')
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    pretrained=None,
    backbone=dict(
        _delete_=True, type='mmext.EMOv2', arch='5M', window_size=10, init_cfg=pretrained),
    decode_head=dict(in_channels=[48, 72, 160, 288], channels=288, num_classes=150))

train_dataloader = dict(batch_size=8, num_workers=8)

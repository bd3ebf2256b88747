# NL-CCAM of Inception v3 on CUB-200-2011, the baseline: top-1 / GT-known localisation 62.82 / 80.20.
_base_ = './ci-cam_inception-v3_1xb6-100e_cub.py'

model = dict(head=dict(context=None))
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(350, 350)),
    dict(type='CenterCrop', crop_size=299),
    dict(type='PackInputs', algorithm_keys=('gt_bboxes', ))
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
param_scheduler = [
    dict(type='PolyLR', power=0.9, end=101, by_epoch=True),  # mmengine's ends a step early
    dict(type='MultiStepLR', milestones=[85], gamma=0.1, by_epoch=True),
]

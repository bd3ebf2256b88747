# CST (our reading) on the toy scenes: 40 labelled images, 360 without labels.
_base_ = '../emov2/atss_emov2_fpn_toy.py'

detector = _base_.model
branch_field = ['sup', 'unsup_teacher', 'unsup_student1', 'unsup_student2']
view_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction',
         'homography_matrix')
view_pipeline = [
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs', meta_keys=view_keys)
]
strong_pipeline = [
    *view_pipeline[:2],
    dict(type='PhotoMetricDistortion'),
    dict(type='RandomErasing', n_patches=(1, 3), ratio=(0, 0.1)),
    *view_pipeline[2:],
]
sup_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='MultiBranch', branch_field=branch_field, sup=dict(type='PackDetInputs')),
]
unsup_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadEmptyAnnotations'),
    dict(
        type='MultiBranch',
        branch_field=branch_field,
        unsup_teacher=view_pipeline,
        unsup_student1=strong_pipeline,
        unsup_student2=strong_pipeline),
]
toy_dataset = _base_.train_dataloader.dataset
train_dataloader = dict(
    _delete_=True,
    batch_size=10,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='GroupMultiSourceSampler', batch_size=10, source_ratio=[1, 1]),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(toy_dataset, indices=list(range(40)), pipeline=sup_pipeline),
            dict(toy_dataset, indices=list(range(40, 400)), pipeline=unsup_pipeline)
        ]))
model = dict(
    _delete_=True,
    type='mmext.CycleSelfTraining',
    detector=detector,
    data_preprocessor=dict(
        type='MultiBranchDataPreprocessor', data_preprocessor=detector.data_preprocessor),
    semi_train_cfg=dict(
        burn_in_iters=200,
        unsup_weight=1.0,
        pseudo_label_initial_score_thr=0.3,
        cls_pseudo_thr=0.4,
        consistency=dict(type='mmext.DistributionConsistency', mode='linear', w_min=0.1)),
    semi_test_cfg=dict(predict_on='teacher1'))

train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=600, val_interval=600)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=600, begin=0, end=600, by_epoch=False),
]
custom_hooks = [dict(type='mmext.CycleMeanTeacherHook', momentum=0.01)]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=200, max_keep_ckpts=2))
log_processor = dict(by_epoch=False)

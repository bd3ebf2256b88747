# One student and its own teacher, mmdet's way: the first baseline of the toy study.
_base_ = 'cst_atss_emov2_toy.py'

branch_field = ['sup', 'unsup_teacher', 'unsup_student']
sup_pipeline = _base_.sup_pipeline
sup_pipeline[-1] = dict(
    type='MultiBranch', branch_field=branch_field, sup=dict(type='PackDetInputs'))
unsup_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadEmptyAnnotations'),
    dict(
        type='MultiBranch',
        branch_field=branch_field,
        unsup_teacher=_base_.view_pipeline,
        unsup_student=_base_.strong_pipeline),
]
labelled, unlabelled = _base_.train_dataloader.dataset.datasets
labelled.pipeline = sup_pipeline
unlabelled.pipeline = unsup_pipeline
train_dataloader = dict(dataset=dict(datasets=[labelled, unlabelled]))
model = dict(
    _delete_=True,
    type='mmdet.SemiBaseDetector',
    detector=_base_.detector,
    data_preprocessor=_base_.model.data_preprocessor,
    semi_train_cfg=dict(
        freeze_teacher=True,
        sup_weight=1.0,
        unsup_weight=1.0,
        cls_pseudo_thr=0.4,
        min_pseudo_bbox_wh=(1e-2, 1e-2)),
    semi_test_cfg=dict(predict_on='teacher'))
val_cfg = dict(_delete_=True, type='mmdet.TeacherStudentValLoop')
custom_hooks = [dict(type='mmdet.MeanTeacherHook', momentum=0.01, skip_buffer=False)]

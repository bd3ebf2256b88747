# CST (our reading) on 10 % of COCO's labels; data, detector and schedule are those of mmdet's Soft Teacher.
_base_ = 'mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py'

# Two independent strong views of every unlabelled image, one for each student.
branch_field = ['sup', 'unsup_teacher', 'unsup_student1', 'unsup_student2']
sup_pipeline = _base_.sup_pipeline
sup_pipeline[-1]['branch_field'] = branch_field
unsup_pipeline = [
    dict(type='LoadImageFromFile', backend_args=_base_.backend_args),
    dict(type='LoadEmptyAnnotations'),
    dict(
        type='MultiBranch',
        branch_field=branch_field,
        unsup_teacher=_base_.weak_pipeline,
        unsup_student1=_base_.strong_pipeline,
        unsup_student2=_base_.strong_pipeline)
]
labeled_dataset = _base_.labeled_dataset
labeled_dataset.pipeline = sup_pipeline
unlabeled_dataset = _base_.unlabeled_dataset
unlabeled_dataset.pipeline = unsup_pipeline
train_dataloader = dict(dataset=dict(datasets=[labeled_dataset, unlabeled_dataset]))

model = dict(
    _delete_=True,
    type='mmext.CycleSelfTraining',
    detector=_base_.detector,
    data_preprocessor=dict(
        type='MultiBranchDataPreprocessor', data_preprocessor=_base_.detector.data_preprocessor),
    semi_train_cfg=dict(
        burn_in_iters=2000,
        sup_weight=1.0,
        unsup_weight=4.0,
        pseudo_label_initial_score_thr=0.5,
        rpn_pseudo_thr=0.7,
        cls_pseudo_thr=0.7,
        consistency=dict(type='mmext.DistributionConsistency', mode='linear')),
    semi_test_cfg=dict(predict_on='teacher1'))
val_cfg = dict(_delete_=True, type='mmext.CycleValLoop')
custom_hooks = [dict(type='mmext.CycleMeanTeacherHook', momentum=4e-4)]

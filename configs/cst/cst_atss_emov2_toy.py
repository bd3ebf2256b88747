# CST (our reading) on the toy scenes: 40 labelled images, 360 without labels.
_base_ = ['../emov2/atss_emov2_fpn_toy.py', '../_base_/pipelines/toy_semi.py']

detector = _base_.model
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
            dict(toy_dataset, indices=list(range(40)), pipeline=_base_.sup_pipeline),
            dict(toy_dataset, indices=list(range(40, 400)), pipeline=_base_.unsup_pipeline)
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

# CST (our reading) with Relation-DETR as its detector: 40 labelled toy scenes, 360 without labels.
_base_ = ['../relation_detr/relation-detr_emov2_toy.py', '../_base_/pipelines/toy_semi.py']

detector = _base_.model
toy_dataset = _base_.train_dataloader.dataset
train_dataloader = dict(
    _delete_=True,
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='GroupMultiSourceSampler', batch_size=8, source_ratio=[1, 1]),
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
        burn_in_iters=500,
        unsup_weight=1.0,
        pseudo_label_initial_score_thr=0.3,
        cls_pseudo_thr=0.4,
        # A DETR has no regions that both teachers could score: their boxes are matched.
        consistency=dict(
            type='mmext.DistributionConsistency', mode='linear', w_min=0.1, match_iou=0.5)),
    semi_test_cfg=dict(predict_on='teacher1'))

train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=1500, val_interval=500)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=1500, begin=0, end=1500, by_epoch=False),
]
custom_hooks = [dict(type='mmext.CycleMeanTeacherHook', momentum=0.01)]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500, max_keep_ckpts=2))
log_processor = dict(by_epoch=False)

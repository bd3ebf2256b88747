# Two toy data sets, each with the boxes of its own classes alone, train one METR; each is evaluated alone.
_base_ = './metr_emov2_toy.py'

taxonomies = dict(round=('disc', 'ring'), angular=('bar', 'star', 'triangle'))
model = dict(
    classes=dict(_delete_=True, **taxonomies),
    category_extraction=dict(topk_train=3, topk_test=3))


def train_set(name):
    return dict(
        name=name,
        dataset=dict(
            type={{_base_.dataset_type}},
            data_root={{_base_.data_root}},
            metainfo=dict(classes=taxonomies[name]),
            ann_file='annotations/instances_train.json',
            data_prefix=dict(img='train/'),
            filter_cfg=dict(filter_empty_gt=True, min_size=32),
            pipeline={{_base_.train_pipeline}}))


def val_set(name):
    return dict(
        name=name,
        dataset=dict(
            type={{_base_.dataset_type}},
            data_root={{_base_.data_root}},
            metainfo=dict(classes=taxonomies[name]),
            ann_file='annotations/instances_val.json',
            data_prefix=dict(img='val/'),
            test_mode=True,
            pipeline={{_base_.test_pipeline}}))


batch_size = 8
train_dataloader = dict(
    _delete_=True,
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(
        type='mmext.MultiDatasetSampler',
        batch_size=batch_size,
        ratios=dict(round=1, angular=1),
        one_dataset_per_batch=False,
        epoch_length=400),
    dataset=dict(type='mmext.MultiDataset', datasets=[train_set('round'), train_set('angular')]))
val_dataloader = dict(
    _delete_=True,
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='mmext.MultiDataset', datasets=[val_set('round'), val_set('angular')]))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True,
    type='mmext.MultiDatasetMetric',
    by_dataset=dict(
        round={{_base_.val_evaluator}},
        angular={{_base_.val_evaluator}}))
test_evaluator = val_evaluator

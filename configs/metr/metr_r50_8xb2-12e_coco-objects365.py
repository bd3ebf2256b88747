# METR, ResNet-50: pretraining on COCO and Objects365 v2, each with classes of its own.
_base_ = './metr_r50_2xb1-12e_coco.py'

model = dict(
    classes=dict(
        _delete_=True, coco='mmdet.CocoDataset', objects365='mmdet.Objects365V2Dataset'),
    bbox_head=dict(dn_mode='per_category'))

batch_size = 2
coco_root = 'data/coco/'
objects365_root = 'data/Objects365/Obj365_v2/'
coco = dict(
    type='CocoDataset',
    data_root=coco_root,
    ann_file='annotations/instances_train2017.json',
    data_prefix=dict(img='train2017/'),
    filter_cfg=dict(filter_empty_gt=True, min_size=32),
    pipeline={{_base_.train_pipeline}})
objects365 = dict(
    type='Objects365V2Dataset',
    data_root=objects365_root,
    ann_file='annotations/zhiyuan_objv2_train.json',
    data_prefix=dict(img='train/'),
    filter_cfg=dict(filter_empty_gt=True, min_size=32),
    pipeline={{_base_.train_pipeline}})
train_dataloader = dict(
    _delete_=True,
    batch_size=batch_size,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(
        type='mmext.MultiDatasetSampler',
        batch_size=batch_size,
        ratios=dict(coco=1, objects365=3),
        one_dataset_per_batch=False,
        epoch_length=480_000),
    dataset=dict(
        type='mmext.MultiDataset',
        datasets=[
            dict(name='coco', dataset=coco),
            dict(name='objects365', dataset=objects365),
        ]))
val_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmext.MultiDataset',
        datasets=[
            dict(
                name='coco',
                dataset=dict(
                    type='CocoDataset',
                    data_root=coco_root,
                    ann_file='annotations/instances_val2017.json',
                    data_prefix=dict(img='val2017/'),
                    test_mode=True,
                    pipeline={{_base_.test_pipeline}})),
            dict(
                name='objects365',
                dataset=dict(
                    type='Objects365V2Dataset',
                    data_root=objects365_root,
                    ann_file='annotations/zhiyuan_objv2_val.json',
                    data_prefix=dict(img='val/'),
                    test_mode=True,
                    pipeline={{_base_.test_pipeline}})),
        ]))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True,
    type='mmext.MultiDatasetMetric',
    by_dataset=dict(
        coco=dict(
            type='mmext.CocoMetric',
            ann_file=coco_root + 'annotations/instances_val2017.json',
            metric='bbox'),
        objects365=dict(
            type='mmext.CocoMetric',
            ann_file=objects365_root + 'annotations/zhiyuan_objv2_val.json',
            metric='bbox')))
test_evaluator = val_evaluator
auto_scale_lr = dict(base_batch_size=16)

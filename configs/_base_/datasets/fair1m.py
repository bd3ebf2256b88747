# FAIR1M's 37 classes, 1024x1024 tiles made by tools/dataset_converters/oriented_xml_to_dota.py and
# dota_tiles.py. Labels of test are not published: figures are those of the folder val.
dataset_type = 'mmrotate.DOTADataset'
data_root = 'data/split_ss_fair1m/'
metainfo = dict(
    classes=(
        'Boeing737', 'Boeing747', 'Boeing777', 'Boeing787', 'C919', 'A220', 'A321', 'A330', 'A350', 'ARJ21',
        'other-airplane', 'Passenger-Ship', 'Motorboat', 'Fishing-Boat', 'Tugboat', 'Engineering-Ship',
        'Liquid-Cargo-Ship', 'Dry-Cargo-Ship', 'Warship', 'other-ship', 'Small-Car', 'Bus', 'Cargo-Truck',
        'Dump-Truck', 'Van', 'Trailer', 'Tractor', 'Excavator', 'Truck-Tractor', 'other-vehicle',
        'Basketball-Court', 'Tennis-Court', 'Football-Field', 'Baseball-Field', 'Intersection',
        'Roundabout', 'Bridge'),
    # One hue per kind: aircraft, ships, vehicles, courts, roads.
    palette=[(220, 20, 60)] * 11 + [(0, 82, 200)] * 9 + [(250, 170, 30)] * 10 + [(60, 160, 75)] * 4
    + [(145, 60, 180)] * 3)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, box_type='qbox'),
    dict(type='mmrotate.ConvertBoxType', box_type_mapping=dict(gt_bboxes='rbox')),
    dict(type='mmdet.Resize', scale=(1024, 1024), keep_ratio=True),
    dict(
        type='mmdet.RandomFlip',
        prob=0.75,
        direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='mmdet.PackDetInputs')
]
val_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(1024, 1024), keep_ratio=True),
    # after Resize: the metric compares with boxes of the original picture
    dict(type='mmdet.LoadAnnotations', with_bbox=True, box_type='qbox'),
    dict(type='mmrotate.ConvertBoxType', box_type_mapping=dict(gt_bboxes='rbox')),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
test_pipeline = val_pipeline
train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=None,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=metainfo,
        ann_file='train/annfiles/',
        data_prefix=dict(img_path='train/images/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=metainfo,
        ann_file='val/annfiles/',
        data_prefix=dict(img_path='val/images/'),
        test_mode=True,
        pipeline=val_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(type='mmext.DOTAMetric', metric='mAP', iou_thrs=[0.5, 0.75])
test_evaluator = val_evaluator

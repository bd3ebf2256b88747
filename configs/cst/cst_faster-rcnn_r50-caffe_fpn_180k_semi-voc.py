# VOC07 trainval labelled, VOC12 trainval without its labels, tested on VOC07 test.
_base_ = 'cst_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py'

data_root = 'data/VOCdevkit/'
voc = dict(type='VOCDataset', data_root=data_root, backend_args=None)
train_dataloader = dict(
    dataset=dict(datasets=[
        dict(
            voc,
            ann_file='VOC2007/ImageSets/Main/trainval.txt',
            data_prefix=dict(sub_data_root='VOC2007/'),
            filter_cfg=dict(filter_empty_gt=True, min_size=32),
            pipeline=_base_.sup_pipeline),
        dict(
            voc,
            ann_file='VOC2012/ImageSets/Main/trainval.txt',
            data_prefix=dict(sub_data_root='VOC2012/'),
            filter_cfg=dict(filter_empty_gt=False),
            pipeline=_base_.unsup_pipeline)
    ]))
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
val_dataloader = dict(
    dataset=dict(
        voc,
        _delete_=True,
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='VOCMetric', metric='mAP', eval_mode='11points')
test_evaluator = val_evaluator
model = dict(detector=dict(roi_head=dict(bbox_head=dict(num_classes=20))))

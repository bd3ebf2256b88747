# MGD: ResNet-18 from 1/16 of Cityscapes with labels. Published: 11.5 mIoU above the supervised student.
_base_ = './mgd_r18_deeplabv3plus_4xb2-39k_voc12aug-1-8-512x512.py'

num_classes = 19
crop_size = (800, 800)
data_preprocessor = dict(size=crop_size)
head = dict(num_classes=num_classes)
student = dict(
    data_preprocessor=data_preprocessor,
    # The authors average over the hard pixels; mmseg divides by all of them.
    decode_head=dict(
        num_classes=num_classes,
        sampler=dict(type='OHEMPixelSampler', thresh=0.7, min_kept=50000)),
    test_cfg=dict(crop_size=crop_size, stride=(533, 533)))
model = dict(
    student=student,
    teachers=dict(
        wide=dict(
            model=dict(decode_head=head), checkpoint='work_dirs/mgd/wresnet34_cityscapes-1-16.pth'),
        deep=dict(
            model=dict(decode_head=head),
            checkpoint='work_dirs/mgd/resnet101_cityscapes-1-16.pth')),
    loss=dict(lambda_sem=0.001, lambda_region=100.))

data_root = 'data/cityscapes/'
resize = dict(
    type='RandomChoiceResize',
    scales=[int(1024 * ratio) for ratio in (0.5, 0.75, 1., 1.5, 1.75, 2.)],
    resize_type='ResizeShortestEdge',
    max_size=8192)
train_pipeline = _base_.train_pipeline
train_pipeline[2:4] = [resize, dict(type='RandomCrop', crop_size=crop_size)]
unlabelled_pipeline = _base_.unlabelled_pipeline
unlabelled_pipeline[1:3] = train_pipeline[2:4]
train_images = dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train')
train_dataloader = dict(
    dataset=dict(
        labelled=dict(
            type='CityscapesDataset',
            data_root=data_root,
            data_prefix=train_images,
            ann_file='subset_train/train_labeled_1-16.txt',
            pipeline=train_pipeline),
        unlabelled=dict(
            type='CityscapesDataset',
            data_root=data_root,
            data_prefix=train_images,
            ann_file='subset_train/train_unlabeled_1-16.txt',
            pipeline=unlabelled_pipeline)))
val_dataloader = dict(
    dataset=dict(
        type='CityscapesDataset',
        data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        ann_file='',
        pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader

# 137 epochs of the 2,789 unlabelled images, 16 in a batch
max_iters = 23881
train_cfg = dict(max_iters=max_iters, val_interval=2000)
optim_wrapper = dict(optimizer=dict(lr=0.02))
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0., end=max_iters, by_epoch=False)]
default_hooks = dict(checkpoint=dict(interval=2000))

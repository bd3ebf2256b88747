# MGD on the toy scenes, an eighth of them with labels. Train teacher-wide_toy.py and
# teacher-deep_toy.py first.
_base_ = './supervised_r18_toy.py'

wide = dict(
    model='configs/mgd/teacher-wide_toy.py',
    checkpoint='work_dirs/teacher-wide_toy/iter_400.pth')
deep = dict(
    model='configs/mgd/teacher-deep_toy.py',
    checkpoint='work_dirs/teacher-deep_toy/iter_400.pth')
model = dict(
    _delete_=True,
    type='mmext.MultiGranularityDistiller',
    student=_base_.model,
    teachers=dict(wide=wide, deep=deep),
    loss=dict(lambda_sem=0.0005, lambda_region=10.))  # 8 images in a batch

scenes = _base_.train_dataloader.dataset
unlabelled_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomResize',
        scale=(128, 128),
        ratio_range=(0.75, 1.5),
        keep_ratio=True,
        resize_type='mmseg.Resize'),
    dict(type='mmseg.RandomCrop', crop_size=(128, 128)),
    dict(type='mmseg.RandomFlip', prob=0.5),
    dict(type='mmseg.PhotoMetricDistortion'),
    dict(type='mmseg.PackSegInputs')
]
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True,
        type='mmext.SemiSegDataset',
        labelled=scenes,
        unlabelled=dict(
            type='mmseg.BaseSegDataset',
            data_root=_base_.data_root,
            metainfo=_base_.metainfo,
            img_suffix='.png',
            seg_map_suffix='.png',
            reduce_zero_label=True,
            data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
            pipeline=unlabelled_pipeline)))

# LMSeg on two halves of the toy scenes, one labelled with objects, the other with grounds. It is
# evaluated on both and on `scenes`, a label space with all of them that it was never trained on.
_base_ = [
    '../_base_/datasets/toy_ade20k.py', '../_base_/models/lmseg_toy.py',
    '../_base_/schedules/lmseg_toy.py', 'mmseg::_base_/default_runtime.py'
]

classes = ('bar', 'disc', 'ring', 'star', 'triangle', 'brick', 'grass', 'sand', 'water')
objects, grounds = classes[:5], classes[5:]
scenes = ('water', 'star', 'grass', 'disc', 'sand', 'ring', 'brick', 'triangle', 'bar')
palette = [(230, 25, 75), (60, 120, 216), (245, 130, 49), (250, 210, 60), (145, 60, 180), (140, 75, 60),
           (70, 140, 60), (210, 190, 130), (60, 140, 190)]

model = dict(
    type='mmext.LMSeg',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=_base_.mean,
        std=_base_.std,
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(128, 128),
        test_cfg=dict(size_divisor=32)),
    decode_head=_base_.head,
    text_encoder=dict(type='mmext.TextTable', path='{{fileDirname}}/toy_names_minilm.safetensors'),
    taxonomies=dict(
        objects=dict(classes=objects), grounds=dict(classes=grounds), scenes=dict(classes=scenes)),
    default_taxonomy='scenes',
    test_cfg=dict(mode='whole'))

toy = dict(
    type='mmseg.BaseSegDataset',
    data_root={{_base_.data_root}},
    img_suffix='.png',
    seg_map_suffix='.png',
    reduce_zero_label=True)
training = dict(toy, data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'))
validation = dict(toy, data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'))


def relabel(names):
    return dict(
        type='mmext.Relabel', labels={classes.index(name): i for i, name in enumerate(names)}, others=255)


def metainfo(names):
    return dict(classes=names, palette=[palette[classes.index(name)] for name in names])


def train_pipeline(names):
    return [
        dict(type='LoadImageFromFile'),
        dict(type='mmseg.LoadAnnotations'),
        relabel(names),
        dict(type='mmseg.RandomFlip', prob=0.5),
        dict(type='mmseg.PhotoMetricDistortion'),
        dict(type='mmseg.PackSegInputs')
    ]


def test_pipeline(names):
    return [
        dict(type='LoadImageFromFile'),
        dict(type='mmseg.Resize', scale=(128, 128), keep_ratio=True),
        dict(type='mmseg.LoadAnnotations'),
        relabel(names),
        dict(type='mmseg.PackSegInputs')
    ]


batch_size = 8
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(_delete_=True, type='mmext.MultiDatasetSampler', batch_size=batch_size),
    dataset=dict(
        _delete_=True,
        type='mmext.MultiDataset',
        datasets=[
            dict(
                name='objects',
                dataset=dict(
                    training, metainfo=metainfo(objects), indices=list(range(200)),
                    pipeline=train_pipeline(objects))),
            dict(
                name='grounds',
                dataset=dict(
                    training, metainfo=metainfo(grounds), indices=list(range(200, 400)),
                    pipeline=train_pipeline(grounds))),
        ]))
val_dataloader = dict(
    batch_size=10,
    dataset=dict(
        _delete_=True,
        type='mmext.MultiDataset',
        datasets=[
            dict(
                name=name,
                dataset=dict(
                    validation, metainfo=metainfo(names), indices=list(range(start, start + 30)),
                    pipeline=test_pipeline(names)))
            for name, names, start in (('objects', objects, 0), ('grounds', grounds, 30),
                                       ('scenes', scenes, 60))
        ]))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True,
    type='mmext.MultiDatasetMetric',
    by_dataset={name: dict(type='mmext.IoUMetric', iou_metrics=['mIoU'])
                for name in ('objects', 'grounds', 'scenes')})
test_evaluator = val_evaluator

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=10, log_metric_by_epoch=True),
    checkpoint=dict(type='CheckpointHook', by_epoch=True, interval=8, max_keep_ckpts=2))
log_processor = dict(by_epoch=True)

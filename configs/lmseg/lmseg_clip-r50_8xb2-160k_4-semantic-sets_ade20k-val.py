# The model of lmseg_clip-r50_8xb2-160k_4-semantic-sets.py on ADE20K's validation set: single scale with
# `mmext test`, six scales and flips with `mmext test --tta`. Scores are averaged as they are.
_base_ = './lmseg_clip-r50_8xb2-160k_4-semantic-sets.py'

ade20k = dict(
    type='mmseg.ADE20KDataset',
    data_root='data/ade/ADEChallengeData2016',
    reduce_zero_label=True,
    data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'))
load = dict(type='LoadImageFromFile')
# The labels stay in the size of the original picture.
finish = [dict(type='mmseg.LoadAnnotations'), dict(type='mmseg.PackSegInputs')]
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        **ade20k,
        pipeline=[load, dict(type='mmseg.Resize', scale=(2048, 512), keep_ratio=True), *finish]))
test_dataloader = val_dataloader
tta_model = dict(type='mmext.SegTTAModel', merge='mean')
tta_pipeline = [
    load,
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='mmseg.Resize', scale=(3584, edge), keep_ratio=True) for edge in range(256, 897, 128)],
            [dict(type='mmseg.RandomFlip', prob=prob) for prob in (0., 1.)],
            *([step] for step in finish),
        ])
]
# For the server: --cfg-options test_evaluator.output_dir=submission test_evaluator.archive=True
val_evaluator = dict(_delete_=True, type='mmext.IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

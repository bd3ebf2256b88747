# DMT: ViT-T from MAE, MoCo v3 and iBOT, all ViT-B, without labels. Published results are of the fine-tuned.
# The recipe is not published; the schedule is G2SD's.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs512_mae.py',
    '../_base_/schedules/imagenet_bs4096_adamw_coslr-300e.py',
    'mmpretrain::_base_/default_runtime.py'
]

data_preprocessor = dict(
    _delete_=True,
    type='ClsDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True)

# The paper does not say which three; these are CoMAD's. Official files, made by `mmext convert plain_vit`.
vit = dict(
    type='ImageClassifier',
    backbone=dict(type='VisionTransformer', arch='base', out_type='raw', norm_cfg=dict(type='LN', eps=1e-6)))
model = dict(
    type='mmext.DMT',
    student=dict(
        type='ImageClassifier',
        backbone=dict(type='VisionTransformer', arch='deit-tiny', out_type='raw')),
    teachers=dict(
        mae=dict(model=vit, checkpoint='work_dirs/dmt/mae_vit-base.pth', dtype='bf16'),
        mocov3=dict(model=vit, checkpoint='work_dirs/dmt/mocov3_vit-base.pth', dtype='bf16'),
        ibot=dict(model=vit, checkpoint='work_dirs/dmt/ibot_vit-base.pth', dtype='bf16')),
    fusion='sum')

default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=10, max_keep_ckpts=3))

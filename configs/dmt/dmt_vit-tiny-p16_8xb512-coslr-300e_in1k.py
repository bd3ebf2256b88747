# DMT: ViT-T from MAE, MoCo v3 and iBOT, all ViT-B, without labels. Published results are of the fine-tuned.
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs512_mae.py', 'mmpretrain::_base_/default_runtime.py'
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

# The recipe is not published; this is G2SD's.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(type='AdamW', lr=1.5e-4 * 4096 / 256, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0., bias_decay_mult=0., flat_decay_mult=0.))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-4,
        by_epoch=True,
        begin=0,
        end=10,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=290,
        eta_min=2.5e-6,
        by_epoch=True,
        begin=10,
        end=300,
        convert_to_iter_based=True)
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=300)
default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=10, max_keep_ckpts=3))
auto_scale_lr = dict(base_batch_size=4096)

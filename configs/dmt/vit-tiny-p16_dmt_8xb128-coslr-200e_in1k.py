# Fine-tuning of DMT's ViT-T. Published: 3.4 points of top-1 over MAE's ViT-T.
_base_ = 'mmpretrain::mae/benchmarks/vit-base-p16_8xb128-coslr-100e_in1k.py'

model = dict(
    backbone=dict(
        arch='deit-tiny',
        drop_path_rate=0.,
        init_cfg=dict(
            checkpoint='work_dirs/dmt_vit-tiny-p16_8xb512-coslr-300e_in1k/epoch_300.pth',
            prefix='student.backbone.')),
    head=dict(in_channels=192))

# As G2SD's for small models: 200 epochs, layer decay 0.75.
optim_wrapper = dict(optimizer=dict(lr=1e-3 * 1024 / 256), paramwise_cfg=dict(layer_decay_rate=0.75))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-4,
        by_epoch=True,
        begin=0,
        end=5,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=195,
        by_epoch=True,
        begin=5,
        end=200,
        eta_min=1e-6,
        convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=200)

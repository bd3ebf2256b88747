# Fine-tuning of DMT's ViT-T. Published: 3.4 points of top-1 over MAE's ViT-T.
_base_ = '../_base_/schedules/mae_finetune_200e.py'

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

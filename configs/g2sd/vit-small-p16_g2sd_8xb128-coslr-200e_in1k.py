# G2SD, stage 2: ViT-S under its fine-tuned teacher. Published: 98.7 % of the teacher's top-1.
_base_ = '../_base_/schedules/mae_finetune_200e.py'

model = dict(
    _delete_=True,
    type='mmext.Distiller',
    student=dict(
        type='ImageClassifier',
        data_preprocessor=dict(
            type='ClsDataPreprocessor',
            num_classes=1000,
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            to_rgb=True),
        backbone=dict(
            type='mmext.DistTokenViT',
            arch='deit-small',
            init_cfg=dict(
                type='Pretrained',
                checkpoint='work_dirs/g2sd_vit-small-p16_8xb512-coslr-300e_in1k/epoch_300.pth',
                prefix='student.backbone.')),
        head=dict(
            type='mmext.DistTokenClsHead',
            num_classes=1000,
            in_channels=384,
            loss=dict(
                type='LabelSmoothLoss', label_smooth_val=0.1, mode='original', loss_weight=0.5)),
        train_cfg=dict(
            augments=[dict(type='Mixup', alpha=0.8),
                      dict(type='CutMix', alpha=1.0)])),
    teachers=dict(
        base=dict(
            model=_base_.model,
            checkpoint='work_dirs/g2sd/vit-base_mae_finetuned.pth')),
    records=dict(
        dist_logits=dict(net='student', module='head.layers.head_dist'),
        teacher_logits=dict(net='base', module='head.fc')),
    losses=dict(
        loss_dist=dict(
            loss=dict(type='mmext.HardLabelLoss'),
            pred='dist_logits',
            target='teacher_logits',
            weight=0.5)))

# The authors also multiply the learning rate by 0.75 a layer downwards.
optim_wrapper = dict(
    optimizer=dict(lr=1e-3 * 1024 / 256, weight_decay=0.05),
    constructor='DefaultOptimWrapperConstructor',
    paramwise_cfg=dict(
        _delete_=True, norm_decay_mult=0., bias_decay_mult=0., flat_decay_mult=0.))

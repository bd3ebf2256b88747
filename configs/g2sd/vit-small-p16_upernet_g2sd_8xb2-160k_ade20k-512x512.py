# G2SD, stage 2 for segmentation: ViT-S in UPerNet under ViT-B. Published: 99.3 % of the teacher's mIoU.
_base_ = 'mmseg::mae/mae-base_upernet_8xb2-amp-160k_ade20k-512x512.py'

norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    _delete_=True,
    type='mmext.Distiller',
    student=dict(
        type='EncoderDecoder',
        data_preprocessor=_base_.model.data_preprocessor,
        backbone=dict(
            type='MAE',
            img_size=(512, 512),
            embed_dims=384,
            num_layers=12,
            num_heads=6,
            out_indices=(3, 5, 7, 11),
            drop_path_rate=0.1,
            norm_cfg=dict(type='LN', eps=1e-6),
            init_values=1.0,
            # the encoder of stage 1: `mmext publish epoch_300.pth FILE --student --part backbone`
            init_cfg=dict(type='Pretrained', checkpoint='work_dirs/g2sd/vit-small_encoder.pth')),
        neck=dict(type='Feature2Pyramid', embed_dim=384, rescales=[4, 2, 1, 0.5], norm_cfg=norm_cfg),
        decode_head=dict(
            type='UPerHead',
            in_channels=[384, 384, 384, 384],
            in_index=[0, 1, 2, 3],
            pool_scales=(1, 2, 3, 6),
            channels=384,
            dropout_ratio=0.1,
            num_classes=150,
            norm_cfg=norm_cfg,
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
        auxiliary_head=dict(
            type='FCNHead',
            in_channels=384,
            in_index=2,
            channels=256,
            num_convs=1,
            concat_input=False,
            dropout_ratio=0.1,
            num_classes=150,
            norm_cfg=norm_cfg,
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4)),
        train_cfg=dict(),
        test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341))),
    teachers=dict(
        base=dict(
            model='mmseg::mae/mae-base_upernet_8xb2-amp-160k_ade20k-512x512.py',
            checkpoint='work_dirs/g2sd/mae-base_upernet_ade20k.pth')),
    records=dict(
        logits=dict(net='student', module='decode_head.conv_seg'),
        teacher_logits=dict(net='base', module='decode_head.conv_seg')),
    losses=dict(
        loss_cwd=dict(
            loss=dict(type='mmext.ChannelDistributionLoss', loss_weight=10.0, tau=1.0),
            pred='logits',
            target='teacher_logits')))

# The host's layer-wise learning rates, on the student.
optim_wrapper = dict(
    constructor='mmext.StudentOptimWrapperConstructor',
    paramwise_cfg=dict(constructor='LayerDecayOptimizerConstructor'))

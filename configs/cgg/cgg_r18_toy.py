# CGG on the toy scenes: masks of three classes, captions of all five; 'ring' and 'star' are novel.
_base_ = ['../_base_/datasets/toy_coco_instance.py', 'mmdet::_base_/default_runtime.py']

classes = {{_base_.metainfo.classes}}
base_classes = ('bar', 'disc', 'triangle')
words = '{{fileDirname}}/toy_words_minilm.safetensors'  # the 53 words of toy captions
dims = 64
sine = dict(num_feats=dims // 2, normalize=True)
model = dict(
    type='mmext.CGG',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
        pad_mask=True),
    backbone=dict(
        type='ResNet', depth=18, base_channels=16, norm_cfg=dict(type='BN'), out_indices=(0, 1, 2, 3)),
    panoptic_head=dict(
        type='mmext.CGGHead',
        classes=classes,
        base_classes=base_classes,
        text_dims=384,
        temperature=3.,
        language=dict(type='mmext.WordEmbeddings', path=words, dim=384),
        num_tokens=53,
        caption_length=24,
        in_channels=[16, 32, 64, 128],
        strides=[4, 8, 16, 32],
        feat_channels=dims,
        out_channels=dims,
        num_queries=20,
        pixel_decoder=dict(
            type='MSDeformAttnPixelDecoder',
            num_outs=3,
            norm_cfg=dict(type='GN', num_groups=16),
            act_cfg=dict(type='ReLU'),
            encoder=dict(
                num_layers=1,
                layer_cfg=dict(
                    self_attn_cfg=dict(
                        embed_dims=dims, num_heads=4, num_levels=3, num_points=4, dropout=0.,
                        batch_first=True),
                    ffn_cfg=dict(
                        embed_dims=dims,
                        feedforward_channels=128,
                        num_fcs=2,
                        ffn_drop=0.,
                        act_cfg=dict(type='ReLU', inplace=True)))),
            positional_encoding=sine),
        positional_encoding=sine,
        transformer_decoder=dict(
            return_intermediate=True,
            num_layers=2,
            layer_cfg=dict(
                self_attn_cfg=dict(embed_dims=dims, num_heads=4, dropout=0., batch_first=True),
                cross_attn_cfg=dict(embed_dims=dims, num_heads=4, dropout=0., batch_first=True),
                ffn_cfg=dict(
                    embed_dims=dims,
                    feedforward_channels=128,
                    num_fcs=2,
                    ffn_drop=0.,
                    act_cfg=dict(type='ReLU', inplace=True))),
            init_cfg=None),
        loss_mask=dict(type='CrossEntropyLoss', use_sigmoid=True, reduction='mean', loss_weight=5.),
        loss_dice=dict(
            type='DiceLoss', use_sigmoid=True, activate=True, reduction='mean', naive_dice=True, eps=1.,
            loss_weight=5.),
        loss_grounding=dict(type='mmext.GroundingLoss', temperature=3., loss_weight=2.),
        caption_generator=dict(num_layers=1, num_heads=4, feedforward_channels=128)),
    train_cfg=dict(
        num_points=512,
        oversample_ratio=3.,
        importance_sample_ratio=.75,
        assigner=dict(
            type='HungarianAssigner',
            match_costs=[
                dict(type='ClassificationCost', weight=2.),
                dict(type='CrossEntropyLossCost', weight=5., use_sigmoid=True),
                dict(type='DiceCost', weight=5., pred_act=True, eps=1.)
            ]),
        sampler=dict(type='MaskPseudoSampler')),
    test_cfg=dict(panoptic_on=False, instance_on=True, max_per_image=20, caption=dict(beam_width=3)))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmext.LoadCaption', words=words, max_length=24),
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'caption_ids',
                   'noun_ids'))
]
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        type='mmext.CaptionCocoDataset',
        metainfo=dict(classes=base_classes, palette=[(230, 25, 75), (60, 120, 216), (145, 60, 180)]),
        caption_file='annotations/captions_train.json',
        nouns=classes,
        filter_cfg=dict(_delete_=True, filter_empty_gt=False),
        pipeline=train_pipeline))
val_evaluator = dict(
    _delete_=True,
    type='mmext.OpenVocabularyMetric',
    ann_file={{_base_.val_evaluator.ann_file}},
    base_classes=base_classes,
    classwise=True)
test_evaluator = val_evaluator

max_epochs = 24
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=max_epochs // 2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.,
        custom_keys=dict(
            query_embed=dict(decay_mult=0.), query_feat=dict(decay_mult=0.),
            level_embed=dict(decay_mult=0.))),
    clip_grad=dict(max_norm=1.))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=max_epochs, end=max_epochs, by_epoch=True,
         convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)
default_hooks = dict(checkpoint=dict(interval=max_epochs // 2, max_keep_ckpts=2), logger=dict(interval=10))

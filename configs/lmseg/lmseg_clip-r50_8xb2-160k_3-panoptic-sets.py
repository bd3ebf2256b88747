# Panoptic LMSeg, CLIP's ResNet-50, trained on ADE20K, Cityscapes and COCO at once, each with its own
# augmentation. No number is published in words that we have.
_base_ = ['../_base_/multi_dataset/lmseg_panoptic.py', 'mmdet::_base_/default_runtime.py']

# CLIP's files are TorchScript: save `torch.jit.load('RN50.pt').float().state_dict()` there first.
clip = 'checkpoints/clip_rn50.pth'
model = dict(
    type='mmext.LMSegPanoptic',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[122.7709, 116.7460, 104.0937],
        std=[68.5005, 66.6322, 70.3232],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_seg=True,
        seg_pad_value=255),
    backbone=dict(
        type='mmext.CLIPResNet',
        depth=50,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint=clip)),
    panoptic_head=dict(
        type='mmext.LMSegHead',
        in_channels=[256, 512, 1024, 2048],
        feat_channels=256,
        out_channels=256,
        num_queries=100,
        pixel_decoder=dict(
            type='mmdet.TransformerEncoderPixelDecoder',
            norm_cfg=dict(type='GN', num_groups=32),
            act_cfg=dict(type='ReLU'),
            encoder=dict(
                num_layers=6,
                layer_cfg=dict(
                    self_attn_cfg=dict(embed_dims=256, num_heads=8, dropout=0.1, batch_first=True),
                    ffn_cfg=dict(
                        embed_dims=256,
                        feedforward_channels=2048,
                        num_fcs=2,
                        ffn_drop=0.1,
                        act_cfg=dict(type='ReLU', inplace=True)))),
            positional_encoding=dict(num_feats=128, normalize=True)),
        decoder=dict(layers=6, heads=8, mlp_ratio=4, drop_path_rate=0.1, order='visual_text'),
        tau_init=0.07),
    text_encoder=dict(
        type='mmext.CLIPTextContextEncoder',
        embed_dim=1024,
        prompt_length=10,
        num_context=8,
        init_cfg=dict(type='Pretrained', checkpoint=clip)),
    taxonomies={{_base_.taxonomies}},
    default_taxonomy='coco',
    test_cfg=dict(object_mask_thr=dict(ade20k=0.7, cityscapes=0.8, coco=0.8), iou_thr=0.8))

max_iters = 160000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=16000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.01, norm_type=2),
    # The authors leave the text encoder trainable with learning rate 0; here it is frozen.
    paramwise_cfg=dict(
        norm_decay_mult=0.,
        custom_keys=dict(backbone=dict(lr_mult=0.1), query_embed=dict(decay_mult=0.))))
param_scheduler = [dict(type='PolyLR', eta_min=0, power=0.9, begin=0, end=max_iters, by_epoch=False)]
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=16000, max_keep_ckpts=3))
log_processor = dict(by_epoch=False)

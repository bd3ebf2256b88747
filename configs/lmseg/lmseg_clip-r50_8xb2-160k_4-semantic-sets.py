# LMSeg, CLIP's ResNet-50, trained on ADE20K, Cityscapes, COCO-Stuff-10k and Mapillary Vistas at once,
# each with its own augmentation. ADE20K 45.25 mIoU in the authors' log, presumably of this network.
_base_ = [
    '../_base_/multi_dataset/lmseg_semantic.py', 'mmseg::_base_/default_runtime.py',
    'mmseg::_base_/schedules/schedule_160k.py'
]

# CLIP's files are TorchScript: save `torch.jit.load('RN50.pt').float().state_dict()` there first.
clip = 'checkpoints/clip_rn50.pth'
model = dict(
    type='mmext.LMSeg',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[122.7709, 116.7460, 104.0937],
        std=[68.5005, 66.6322, 70.3232],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=32,
        test_cfg=dict(size_divisor=32)),
    # The authors also build CLIP's attention pool; nothing uses it.
    backbone=dict(
        type='mmext.CLIPResNet',
        depth=50,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint=clip)),
    decode_head=dict(
        type='mmext.LMSegHead',
        in_channels=[256, 512, 1024, 2048],
        feat_channels=256,
        out_channels=256,
        num_queries=100,
        pixel_decoder=dict(
            type='mmdet.PixelDecoder',
            norm_cfg=dict(type='GN', num_groups=32),
            act_cfg=dict(type='ReLU')),
        decoder=dict(layers=6, heads=8, mlp_ratio=4, drop_path_rate=0.1, order='visual_text'),
        tau_init=0.07),
    text_encoder=dict(
        type='mmext.CLIPTextContextEncoder',
        embed_dim=1024,
        prompt_length=10,
        num_context=8,
        init_cfg=dict(type='Pretrained', checkpoint=clip)),
    taxonomies={{_base_.taxonomies}},
    default_taxonomy='ade20k',
    test_cfg=dict(mode='whole'))

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.01, norm_type=2),
    # The authors leave the text encoder trainable with learning rate 0; here it is frozen.
    paramwise_cfg=dict(
        norm_decay_mult=0.,
        custom_keys=dict(backbone=dict(lr_mult=0.1), query_embed=dict(decay_mult=0.))))
param_scheduler = [dict(type='PolyLR', eta_min=0, power=0.9, begin=0, end=160000, by_epoch=False)]

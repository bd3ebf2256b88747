# H-GKD on the toy objects: a narrow sparse ResNet-18 from configs/dmt/teacher-mae_vit_toy.py, without labels.
_base_ = '../dmt/teacher-mae_vit_toy.py'

model = dict(
    _delete_=True,
    type='mmext.HGKD',
    student=dict(
        input_size=128,
        mask_ratio=0.6,
        enc_dec_norm_cfg=dict(type='SparseBatchNorm2d'),
        enc_dec_norm_dim=128,
        backbone=dict(
            type='SparseResNet',
            depth=18,
            stem_channels=16,
            base_channels=16,
            out_indices=(0, 1, 2, 3),
            norm_cfg=dict(type='SparseBatchNorm2d')),
        neck=dict(
            type='SparKLightDecoder', feature_dim=64, upsample_ratio=32, norm_cfg=dict(type='BN'))),
    teacher=dict(
        model=dict(
            type='mmext.HGKDTeacher',
            backbone=dict(arch=_base_.arch, img_size=128),
            neck=dict(decoder_embed_dim=32, decoder_depth=2, decoder_num_heads=2, mlp_ratio=2.),
            decoder_layer=1),
        checkpoint='work_dirs/teacher-mae_vit_toy/epoch_20.pth'))

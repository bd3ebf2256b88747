# H-GKD: a sparse ResNet-50 from MAE ViT-B, without labels. Published results are of the fine-tuned.
_base_ = 'mmpretrain::spark/spark_sparse-resnet50_8xb512-amp-coslr-800e_in1k.py'

# MAE *with* its decoder (mae_base-1599.pth), made by `mmext convert g2sd`, see README.md. The recipe is
# not published; this is SparK's.
model = dict(
    _delete_=True,
    type='mmext.HGKD',
    student=dict(
        input_size=224,
        mask_ratio=0.6,
        enc_dec_norm_cfg=dict(type='SparseSyncBatchNorm2d'),
        enc_dec_norm_dim=2048,
        backbone=_base_.model.backbone,
        neck=_base_.model.neck),
    teacher=dict(
        model=dict(
            type='mmext.HGKDTeacher',
            backbone=dict(arch='b'),
            neck=dict(decoder_embed_dim=512, decoder_depth=8, decoder_num_heads=16),
            decoder_layer=4),
        checkpoint='work_dirs/h_gkd/mae_base-1599.pth',
        dtype='bf16'))

# G2SD, stage 1, on the toy objects: a small ViT from the decoder of configs/dmt/teacher-mae_vit_toy.py,
# without labels.
_base_ = '../dmt/teacher-mae_vit_toy.py'

model = dict(
    _delete_=True,
    type='mmext.G2SDPretrain',
    student=dict(
        backbone=dict(
            arch=dict(embed_dims=48, num_layers=4, num_heads=3, feedforward_channels=96),
            img_size=128,
            patch_size=16,
            mask_ratio=0.75),
        neck=dict(decoder_embed_dim=32, decoder_depth=2, decoder_num_heads=2, mlp_ratio=2.),
        decoder_channels=32),
    teacher=dict(
        model=dict(
            type='mmext.HiddenMAE',
            backbone=dict(arch=_base_.arch, img_size=128, patch_size=16, mask_ratio=0.75),
            neck=dict(decoder_embed_dim=32, decoder_depth=2, decoder_num_heads=2, mlp_ratio=2.),
            decoder_layer=1),
        checkpoint='work_dirs/teacher-mae_vit_toy/epoch_20.pth'))

# G2SD, stage 1, as ViT-S, for ViT-T.
_base_ = './g2sd_vit-small-p16_8xb512-coslr-300e_in1k.py'

model = dict(
    student=dict(
        backbone=dict(arch='deit-t'),
        neck=dict(decoder_embed_dim=128, decoder_depth=4, decoder_num_heads=4)))

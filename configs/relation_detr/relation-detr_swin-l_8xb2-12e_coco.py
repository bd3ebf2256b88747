# Relation-DETR, Swin-L (ImageNet-22k), 12 epochs: box AP 57.8 (paper).
_base_ = './relation-detr_r50_8xb2-12e_coco.py'

# The authors start from the weights before fine-tuning on ImageNet-1k.
pretrained = dict(
    type='Pretrained',
    checkpoint='https://mmassets.onedl.ai/mmclassification/v0/swin-transformer/convert/'
    'swin_large_patch4_window7_224_22kto1k-5f0996db.pth',
    prefix='backbone')
model = dict(
    backbone=dict(
        _delete_=True,
        # mmpretrain's, because mmdet's normalises its outputs and the authors' does not.
        type='mmpretrain.SwinTransformer',
        arch='large',
        img_size=224,
        out_indices=(1, 2, 3),
        drop_path_rate=0.2,
        frozen_stages=0,
        norm_cfg=None,
        pad_small_map=True,
        with_cp=True,
        init_cfg=pretrained),
    neck=dict(in_channels=[384, 768, 1536]))

# Panoptic LMSeg, CLIP's ResNet-101, trained on three panoptic data sets at once.
_base_ = './lmseg_clip-r50_8xb2-160k_3-panoptic-sets.py'

clip = 'checkpoints/clip_rn101.pth'
model = dict(
    backbone=dict(depth=101, init_cfg=dict(checkpoint=clip)),
    text_encoder=dict(embed_dim=512, init_cfg=dict(checkpoint=clip)))

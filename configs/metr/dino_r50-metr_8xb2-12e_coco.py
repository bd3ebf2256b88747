# mmdet's DINO on COCO from METR's multi-dataset pretraining: backbone, neck, encoder, decoder, box heads.
_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'

model = dict(
    backbone=dict(init_cfg=None),
    neck=dict(bias=True))  # as METR's

# Class heads, queries and ref_point_head (twice as wide here) begin anew.
load_from = 'work_dirs/metr_r50_8xb2-12e_coco-objects365/epoch_12.pth'

# Relation-DETR on COCO from METR's multi-dataset pretraining: all but classes, relation and memory fusion.
_base_ = '../relation_detr/relation-detr_r50_8xb2-12e_coco.py'

model = dict(
    backbone=dict(init_cfg=None),
    neck=dict(bias=True),  # as METR's
    # The position encoding that the pretrained encoder knows.
    positional_encoding=dict(offset=0.0, temperature=20))

load_from = 'work_dirs/metr_r50_8xb2-12e_coco-objects365/epoch_12.pth'

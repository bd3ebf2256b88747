# mmdet's Deformable-DETR with position relation, ResNet-50, 50 epochs; no published number.
_base_ = 'mmdet::deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py'

model = dict(type='mmext.DeformableDETRPP', position_relation=dict(type='mmext.PositionRelation'))

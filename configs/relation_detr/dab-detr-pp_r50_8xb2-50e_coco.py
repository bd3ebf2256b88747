# mmdet's DAB-DETR with position relation, ResNet-50, 50 epochs; no published number.
_base_ = 'mmdet::dab_detr/dab-detr_r50_8xb2-50e_coco.py'

model = dict(type='mmext.DABDETRPP', position_relation=dict(type='mmext.PositionRelation'))

# mmdet's DINO with position relation, ResNet-50, 12 epochs; no published number.
_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'

model = dict(type='mmext.DINOPP', position_relation=dict(type='mmext.PositionRelation'))

# mmdet's DDQ with position relation, ResNet-50, 12 epochs; no published number.
_base_ = 'mmdet::ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py'

model = dict(type='mmext.DDQDETRPP', position_relation=dict(type='mmext.PositionRelation'))

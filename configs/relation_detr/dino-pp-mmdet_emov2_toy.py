# mmdet's DINO with position relation on the toy scenes.
_base_ = './dino_emov2_toy.py'

model = dict(type='mmext.DINOPP', position_relation=dict(type='mmext.PositionRelation'))

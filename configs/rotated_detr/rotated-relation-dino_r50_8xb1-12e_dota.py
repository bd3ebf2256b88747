# Rotated DINO with Relation-DETR's position relation, in the frame of each box; DOTA-v1.0, 12 epochs.
_base_ = './rotated-dino_r50_8xb1-12e_dota.py'

model = dict(
    decoder=dict(position_relation=dict(type='mmext.PositionRelation'), relation='rotated'))

# With refinement and two stages, as published (ai4rs): 69.55 AP50, 40.60 AP75.
_base_ = './rotated-deformable-detr-refine_r50_8xb2-50e_dota.py'

model = dict(as_two_stage=True)

# With iterative box refinement, as published (ai4rs): 67.55 AP50, 39.00 AP75.
_base_ = './rotated-deformable-detr_r50_8xb2-50e_dota.py'

model = dict(with_box_refine=True)

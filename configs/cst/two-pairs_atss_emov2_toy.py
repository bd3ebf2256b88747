# Two students, each taught by its own average: a baseline of the toy study.
_base_ = 'cst_atss_emov2_toy.py'

model = dict(semi_train_cfg=dict(cross=False, consistency=None))

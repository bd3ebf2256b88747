# The cycle without weights of the pseudo-labels: a baseline of the toy study.
_base_ = 'cst_atss_emov2_toy.py'

model = dict(semi_train_cfg=dict(consistency=None))

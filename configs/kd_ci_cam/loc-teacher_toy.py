# The localisation teacher of kd-ci-cam_toy.py: it also classifies foreground minus background.
_base_ = './cls-teacher_toy.py'

model = dict(
    aux_type=('diff', 'aux'), aux_rate=0.5, seg_thr=0.0, head=dict(spa_weight=0.0))

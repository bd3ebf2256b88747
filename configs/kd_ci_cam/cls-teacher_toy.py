# The classification teacher of kd-ci-cam_toy.py: it also classifies its own foreground.
_base_ = './ci-cam_toy.py'

model = dict(
    type='mmext.CICAMClassifier',
    aux_type=('fore', ),
    aux_rate=1.0,
    seg_thr=0.08,
    head=dict(up_weight=1.0, spa_weight=0.04))

# A host's ResNet-18 as the classifier of the toy objects: the teacher of kd_emov2-resnet18_toy.py.
_base_ = '../emov2/emov2_toy.py'

model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18, out_indices=(3, )), head=dict(in_channels=512))

# Guidance by a ResNet-18 that was never trained, for the first hundred iterations.
_base_ = '../emov2/emov2_toy.py'

types = ['Conv2d', 'Linear']
model = dict(
    _delete_=True,
    type='mmext.Distiller',
    student=_base_.model,
    teachers=dict(
        guide=dict(model='configs/distill/teacher_resnet18_toy.py', random=True, early_stop=False)),
    records=dict(
        own=dict(net='student', types=types),
        guiding=dict(net='guide', types=types)),
    losses=dict(
        loss_guidance=dict(
            loss=dict(type='mmext.GuidanceLoss'), pred='own', target='guiding')))
custom_hooks = [dict(type='mmext.DistillScheduleHook', end=100)]

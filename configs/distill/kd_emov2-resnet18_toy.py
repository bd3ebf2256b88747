# KL divergence of the class scores: a small EMOv2 learns from a ResNet-18. Train
# teacher_resnet18_toy.py first.
_base_ = '../emov2/emov2_toy.py'

model = dict(
    _delete_=True,
    type='mmext.Distiller',
    student=_base_.model,
    teachers=dict(
        big=dict(
            model='configs/distill/teacher_resnet18_toy.py',
            checkpoint='work_dirs/teacher_resnet18_toy/epoch_15.pth',
            call='tensor')),
    records=dict(
        own=dict(net='student', module='head.fc'),
        taught=dict(net='big', module='head.fc')),
    losses=dict(loss_kd=dict(loss=dict(type='mmext.KLDistillLoss', tau=4.0), pred='own', target='taught')))
val_cfg = dict(type='mmext.DistillValLoop', evaluate=('student', 'big'))

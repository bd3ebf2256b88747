# PKD on the four levels of the pyramid: a small EMOv2 learns from a ResNet-18. Train
# teacher_atss_resnet18_toy.py first.
_base_ = '../emov2/atss_emov2_fpn_toy.py'

model = dict(
    _delete_=True,
    type='mmext.Distiller',
    student=_base_.model,
    teachers=dict(
        big=dict(
            model='configs/distill/teacher_atss_resnet18_toy.py',
            checkpoint='work_dirs/teacher_atss_resnet18_toy/epoch_16.pth',
            call='extract_feat')),
    records=dict(
        own=dict(net='student', module='neck'),
        taught=dict(net='big', module='neck')),
    losses=dict(loss_pkd=dict(loss=dict(type='mmext.PKDLoss'), pred='own', target='taught')))
val_cfg = dict(type='mmext.DistillValLoop', evaluate=('student', 'big'))

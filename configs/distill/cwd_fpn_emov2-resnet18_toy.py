# CWD on the class scores: a small EMOv2 learns from a ResNet-18. Train
# teacher_fpn_resnet18_toy.py first.
_base_ = '../emov2/fpn_emov2_toy.py'

model = dict(
    _delete_=True,
    type='mmext.Distiller',
    student=_base_.model,
    teachers=dict(
        big=dict(
            model='configs/distill/teacher_fpn_resnet18_toy.py',
            checkpoint='work_dirs/teacher_fpn_resnet18_toy/iter_400.pth',
            call='tensor')),
    records=dict(
        own=dict(net='student', module='decode_head.conv_seg'),
        taught=dict(net='big', module='decode_head.conv_seg')),
    losses=dict(
        loss_cwd=dict(
            loss=dict(type='mmext.ChannelWiseDistillLoss', tau=4.0), pred='own', target='taught')))
val_cfg = dict(type='mmext.DistillValLoop', evaluate=('student', 'big'))

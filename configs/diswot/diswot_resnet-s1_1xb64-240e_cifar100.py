# Search space S1 (blocks in the stages of a CIFAR ResNet) under ResNet-56, all 64 candidates scored:
# mmext search-student. The config itself distils ResNet-20; so does the student.py of the search.
_base_ = 'resnet56_1xb64-240e_cifar100.py'

model = dict(
    _delete_=True,
    type='mmext.Distiller',
    data_preprocessor=_base_.data_preprocessor,
    student=dict(
        type='ImageClassifier',
        backbone=dict(type='mmext.CIFARResNet', depths=[3, 3, 3], zero_init_residual=False),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=100,
            in_channels=64,
            loss=dict(type='CrossEntropyLoss', loss_weight=1.0))),
    teachers=dict(
        big=dict(
            model=_base_.model,
            checkpoint='work_dirs/resnet56_1xb64-240e_cifar100/epoch_240.pth',
            call='tensor')),
    records=dict(
        own=dict(net='student', module='head.fc'),
        taught=dict(net='big', module='head.fc')),
    task_loss=0.1,  # CRD's weights of cross entropy and KD
    losses=dict(
        loss_kd=dict(
            loss=dict(type='mmext.KLDistillLoss', tau=4.0), pred='own', target='taught', weight=0.9)))

blocks = [2, 6, 10, 14]
search = dict(
    space={
        'model.student.backbone.depths.0': blocks,
        'model.student.backbone.depths.1': blocks,
        'model.student.backbone.depths.2': blocks
    },
    batch_size=64)

# KD-CI-CAM with the classification teacher alone: top-1 / GT-known localisation 66.52 / 85.02.
_base_ = './ci-cam_vgg16_1xb6-100e_cub.py'

student = _base_.model
student.head.context.update_rate = 0.01
model = dict(
    _delete_=True,
    type='mmext.Distiller',
    student=student,
    teachers=dict(
        cls=dict(
            model='configs/kd_ci_cam/cls-teacher_vgg16_1xb6-100e_cub.py',
            checkpoint='work_dirs/cls-teacher_vgg16_1xb6-100e_cub/epoch_100.pth')),
    router=dict(type='mmext.SampleRouter'),
    task_loss=0.2,
    records=dict(
        logits=dict(net='student', module='head.scores'),
        cls_logits=dict(net='cls', module='head.scores')),
    losses=dict(
        loss_cls_kd=dict(  # probabilities where the divergence has their logarithm: as the authors train
            loss=dict(type='mmext.TemperedKLLoss', tau=15.0, kl_input='prob'),
            pred='logits',
            target='cls_logits',
            weight=0.8)))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomChoice',  # of the teacher, with the crops that belong to it
        transforms=[
            [
                dict(type='mmext.SetRoute', route=-1),
                _base_.randaugment,
                dict(type='mmpretrain.RandomResizedCrop', scale=224, crop_ratio_range=(0.2, 1.0))
            ],
            [
                dict(type='mmext.SetRoute', route=0),
                dict(type='mmpretrain.RandomResizedCrop', scale=224, crop_ratio_range=(0.2, 1.0))
            ],
        ]),
    _base_.flip,
    _base_.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

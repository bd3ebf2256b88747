# KD-CI-CAM with the localisation teacher alone: top-1 / GT-known localisation 71.76 / 91.46.
_base_ = './ci-cam_vgg16_1xb6-100e_cub.py'

student = _base_.model
student.head.context.update_rate = 0.01
model = dict(
    _delete_=True,
    type='mmext.Distiller',
    student=student,
    teachers=dict(
        loc=dict(
            model='configs/kd_ci_cam/loc-teacher_vgg16_1xb6-100e_cub.py',
            checkpoint='work_dirs/loc-teacher_vgg16_1xb6-100e_cub/epoch_70.pth')),
    router=dict(type='mmext.SampleRouter'),
    task_loss=0.2,
    records=dict(
        cam=dict(net='student', module='head.cam'),
        loc_cam=dict(net='loc', module='head.cam')),
    losses=dict(
        loss_loc_kd=dict(
            loss=dict(type='mmext.SigmoidMapLoss', tau=15.0),
            pred='cam',
            target='loc_cam',
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
                dict(type='mmpretrain.RandomResizedCrop', scale=224, crop_ratio_range=(0.1, 1.0))
            ],
        ]),
    _base_.flip,
    _base_.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

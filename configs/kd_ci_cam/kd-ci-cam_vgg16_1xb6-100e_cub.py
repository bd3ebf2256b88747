# KD-CI-CAM of VGG-16 on CUB-200-2011: top-1 / GT-known localisation 73.02 / 91.59.
_base_ = ['./ci-cam_vgg16_1xb6-100e_cub.py', '../_base_/models/kd-ci-cam.py']

student = _base_.model
student.head.context.update_rate = 0.002
model = dict(
    _delete_=True,
    student=student,
    teachers=dict(
        cls=dict(
            model='configs/kd_ci_cam/cls-teacher_vgg16_1xb6-100e_cub.py',
            checkpoint='work_dirs/cls-teacher_vgg16_1xb6-100e_cub/epoch_100.pth'),
        loc=dict(
            model='configs/kd_ci_cam/loc-teacher_vgg16_1xb6-100e_cub.py',
            checkpoint='work_dirs/loc-teacher_vgg16_1xb6-100e_cub/epoch_70.pth')),
    **_base_.distillation)

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
            [
                dict(type='mmext.SetRoute', route=1),
                dict(type='mmpretrain.RandomResizedCrop', scale=224, crop_ratio_range=(0.1, 1.0))
            ],
        ]),
    _base_.flip,
    _base_.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# KD-CI-CAM of VGG-16 on ImageNet: top-1 / GT-known localisation 51.35 / 67.39.
_base_ = ['./ci-cam_vgg16_1xb80-20e_in1k.py', '../_base_/models/kd-ci-cam.py']

student = _base_.model
student.head.context.update_rate = 0.001
distillation = _base_.distillation
distillation.losses.loss_cls_kd.loss.tau = 1.1
distillation.losses.loss_loc_kd.loss.tau = 1.1
model = dict(
    _delete_=True,
    student=student,
    teachers=dict(
        cls=dict(
            model='configs/kd_ci_cam/cls-teacher_vgg16_3xb14-10e_in1k.py',
            checkpoint='work_dirs/cls-teacher_vgg16_3xb14-10e_in1k/epoch_9.pth'),
        loc=dict(
            model='configs/kd_ci_cam/loc-teacher_vgg16_3xb12-20e_in1k.py',
            checkpoint='work_dirs/loc-teacher_vgg16_3xb12-20e_in1k/epoch_5.pth')),
    **distillation)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomChoice',  # of the teacher, with the crops that belong to it
        transforms=[
            [
                dict(type='mmext.SetRoute', route=-1),
                dict(type='mmpretrain.RandomResizedCrop', scale=224, crop_ratio_range=(0.4, 1.0))
            ],
            [
                dict(type='mmext.SetRoute', route=0),
                dict(type='mmpretrain.RandomResizedCrop', scale=224, crop_ratio_range=(0.4, 1.0))
            ],
            [
                dict(type='mmext.SetRoute', route=1),
                dict(type='mmpretrain.RandomResizedCrop', scale=224, crop_ratio_range=(0.9, 1.1))
            ],
        ]),
    _base_.flip,
    _base_.pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
train_dataloader.update(batch_size=78)
optim_wrapper = dict(optimizer=dict(lr=8e-5))
auto_scale_lr = dict(base_batch_size=78)

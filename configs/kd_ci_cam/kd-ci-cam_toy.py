# KD-CI-CAM on the toy objects. Train cls-teacher_toy.py and loc-teacher_toy.py first.
_base_ = './ci-cam_toy.py'

model = dict(
    _delete_=True,
    type='mmext.Distiller',
    student=_base_.model,
    teachers=dict(
        cls=dict(
            model='configs/kd_ci_cam/cls-teacher_toy.py',
            checkpoint='work_dirs/cls-teacher_toy/epoch_10.pth'),
        loc=dict(
            model='configs/kd_ci_cam/loc-teacher_toy.py',
            checkpoint='work_dirs/loc-teacher_toy/epoch_10.pth')),
    router=dict(type='mmext.SampleRouter'),
    task_loss=0.5,
    records=dict(
        logits=dict(net='student', module='head.scores'),
        cam=dict(net='student', module='head.cam'),
        cls_logits=dict(net='cls', module='head.scores'),
        loc_cam=dict(net='loc', module='head.cam')),
    losses=dict(
        loss_cls_kd=dict(  # the divergence itself: it falls to 0, the authors' term does not
            loss=dict(type='mmext.TemperedKLLoss', tau=2.0, kl_input='log_prob'),
            pred='logits',
            target='cls_logits',
            weight=2.0),
        loss_loc_kd=dict(
            loss=dict(type='mmext.SigmoidMapLoss', tau=5.0), pred='cam', target='loc_cam', weight=10.)))

pack = dict(type='PackInputs', meta_keys=('route', 'img_path', 'ori_shape', 'img_shape'))
flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomChoice',  # of the teacher, and the crops that belong to it
        transforms=[
            [
                dict(type='mmext.SetRoute', route=-1),
                dict(type='mmpretrain.RandomResizedCrop', scale=64, crop_ratio_range=(0.5, 1.0))
            ],
            [
                dict(type='mmext.SetRoute', route=0),
                dict(type='mmpretrain.RandomResizedCrop', scale=64, crop_ratio_range=(0.5, 1.0))
            ],
            [
                dict(type='mmext.SetRoute', route=1),
                dict(type='mmpretrain.RandomResizedCrop', scale=64, crop_ratio_range=(0.4, 1.0))
            ],
        ]),
    flip,
    pack,
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# KD-CI-CAM with the localisation teacher alone: top-1 / GT-known localisation 71.76 / 91.46.
_base_ = './kd-ci-cam-cls_vgg16_1xb6-100e_cub.py'

model = dict(
    teachers=dict(
        _delete_=True,
        loc=dict(
            model='configs/kd_ci_cam/loc-teacher_vgg16_1xb6-100e_cub.py',
            checkpoint='work_dirs/loc-teacher_vgg16_1xb6-100e_cub/epoch_70.pth')),
    records=dict(
        _delete_=True,
        cam=dict(net='student', module='head.cam'),
        loc_cam=dict(net='loc', module='head.cam')),
    losses=dict(
        _delete_=True,
        loss_loc_kd=dict(
            loss=dict(type='mmext.SigmoidMapLoss', tau=15.0),
            pred='cam',
            target='loc_cam',
            weight=0.8)))

train_pipeline = _base_.train_pipeline
train_pipeline[1].transforms[-1][-1].update(crop_ratio_range=(0.1, 1.0))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

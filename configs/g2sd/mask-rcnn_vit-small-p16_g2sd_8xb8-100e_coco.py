# G2SD, stage 2 for detection: ViT-S under ViT-B. Published: 98.1 % of the teacher's box AP.
_base_ = './mask-rcnn_vit-small-p16_8xb8-100e_coco.py'

model = dict(
    _delete_=True,
    type='mmext.Distiller',
    student=_base_.model,
    teachers=dict(
        base=dict(
            model='mmext::g2sd/mask-rcnn_vit-base-p16_8xb8-100e_coco.py',
            checkpoint='work_dirs/mask-rcnn_vit-base-p16_8xb8-100e_coco/epoch_25.pth')),
    # the five maps of the pyramid and what the region proposal network makes of them
    records=dict(
        pyramid=dict(net='student', types=['SimpleFeaturePyramid', 'RPNHead']),
        teacher_pyramid=dict(net='base', types=['SimpleFeaturePyramid', 'RPNHead'])),
    losses=dict(
        loss_feature=dict(
            loss=dict(type='mmext.ObjectFeatureLoss', channels=256),
            pred='pyramid',
            target='teacher_pyramid',
            weight=0.001,
            schedule=dict(kind='linear', begin=0, end=500)),
        loss_objectness=dict(
            loss=dict(type='mmext.ObjectnessLoss'),
            pred='pyramid',
            target='teacher_pyramid',
            weight=0.1,
            schedule=dict(kind='linear', begin=0, end=500))))

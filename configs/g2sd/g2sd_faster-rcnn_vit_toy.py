# G2SD, stage 2 for detection, on the toy objects: a smaller ViT under teacher_faster-rcnn_vit_toy.py.
_base_ = './small_faster-rcnn_vit_toy.py'

model = dict(
    _delete_=True,
    type='mmext.Distiller',
    student=_base_.model,
    teachers=dict(
        base=dict(
            model='mmext::g2sd/teacher_faster-rcnn_vit_toy.py',
            checkpoint='work_dirs/teacher_faster-rcnn_vit_toy/epoch_8.pth')),
    records=dict(
        pyramid=dict(net='student', types=['SimpleFeaturePyramid', 'RPNHead']),
        teacher_pyramid=dict(net='base', types=['SimpleFeaturePyramid', 'RPNHead'])),
    losses=dict(
        loss_feature=dict(
            loss=dict(type='mmext.ObjectFeatureLoss', channels=32),
            pred='pyramid',
            target='teacher_pyramid',
            weight=0.01,
            schedule=dict(kind='linear', begin=0, end=50)),
        loss_objectness=dict(
            loss=dict(type='mmext.ObjectnessLoss'),
            pred='pyramid',
            target='teacher_pyramid',
            weight=0.1,
            schedule=dict(kind='linear', begin=0, end=50))))
optim_wrapper = dict(
    constructor='mmext.StudentOptimWrapperConstructor',
    paramwise_cfg=dict(
        constructor='mmpretrain.LearningRateDecayOptimWrapperConstructor', layer_decay_rate=0.8))

# G2SD, stage 2 for segmentation, on the toy scenes: a smaller ViT under teacher_upernet_vit_toy.py.
_base_ = './small_upernet_vit_toy.py'

model = dict(
    _delete_=True,
    type='mmext.Distiller',
    student=_base_.model,
    teachers=dict(
        base=dict(
            model='mmext::g2sd/teacher_upernet_vit_toy.py',
            checkpoint='work_dirs/teacher_upernet_vit_toy/iter_200.pth')),
    records=dict(
        logits=dict(net='student', module='decode_head.conv_seg'),
        teacher_logits=dict(net='base', module='decode_head.conv_seg')),
    losses=dict(
        loss_cwd=dict(
            loss=dict(type='mmext.ChannelDistributionLoss', loss_weight=1.0),
            pred='logits',
            target='teacher_logits')))
optim_wrapper = dict(
    constructor='mmext.StudentOptimWrapperConstructor',
    paramwise_cfg=dict(
        constructor='LearningRateDecayOptimizerConstructor',
        num_layers=4,
        decay_rate=0.75,
        decay_type='layer_wise'))

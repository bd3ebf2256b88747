# G2SD, stage 2, on the toy objects: g2sd_vit_toy.py's student is fine-tuned, and its distillation token
# learns from teacher_vit_toy.py. Without stage 1: --cfg-options model.student.backbone.init_cfg=None
_base_ = './teacher_vit_toy.py'

model = dict(
    _delete_=True,
    type='mmext.Distiller',
    student=dict(
        type='ImageClassifier',
        data_preprocessor=_base_.data_preprocessor,
        backbone=dict(
            type='mmext.DistTokenViT',
            arch=dict(embed_dims=48, num_layers=4, num_heads=3, feedforward_channels=96),
            img_size=128,
            patch_size=16,
            init_cfg=dict(
                type='Pretrained',
                checkpoint='work_dirs/g2sd_vit_toy/epoch_20.pth',
                prefix='student.backbone.')),
        head=dict(
            type='mmext.DistTokenClsHead',
            num_classes=5,
            in_channels=48,
            loss=dict(type='CrossEntropyLoss', loss_weight=0.5))),
    teachers=dict(
        base=dict(
            model=_base_.model,
            checkpoint='work_dirs/teacher_vit_toy/epoch_20.pth')),
    records=dict(
        dist_logits=dict(net='student', module='head.layers.head_dist'),
        teacher_logits=dict(net='base', module='head.fc')),
    losses=dict(
        loss_dist=dict(
            loss=dict(type='mmext.HardLabelLoss'),
            pred='dist_logits',
            target='teacher_logits',
            weight=0.5)))

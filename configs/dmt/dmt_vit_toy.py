# DMT on the toy objects: a smaller ViT from the three self-supervised teacher-*_vit_toy.py, without labels.
_base_ = './teacher-mae_vit_toy.py'

data_preprocessor = dict(type='ClsDataPreprocessor')
teacher = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer', arch=_base_.arch, img_size=128, patch_size=16, out_type='raw'))
model = dict(
    _delete_=True,
    type='mmext.DMT',
    student=dict(
        type='ImageClassifier',
        backbone=dict(
            type='VisionTransformer',
            arch=dict(embed_dims=48, num_layers=3, num_heads=3, feedforward_channels=96),
            img_size=128,
            patch_size=16,
            out_type='raw')),
    teachers=dict(
        mae=dict(model=teacher, checkpoint='work_dirs/teacher-mae_vit_toy/epoch_20.pth'),
        mocov3=dict(model=teacher, checkpoint='work_dirs/teacher-mocov3_vit_toy/epoch_10.pth'),
        # trained at 224 pixels: its positions are interpolated to the student's grid
        maskfeat=dict(
            model=dict(
                type='ImageClassifier',
                backbone=dict(
                    type='VisionTransformer',
                    arch=_base_.arch,
                    img_size=224,
                    patch_size=16,
                    out_type='raw')),
            checkpoint='work_dirs/teacher-maskfeat_vit_toy/epoch_6.pth')),
    fusion='agreement',
    relation_weight=0.1)

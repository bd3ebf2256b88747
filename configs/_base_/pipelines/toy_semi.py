# Branches of a semi-supervised training on the toy scenes: labelled, weak view, two independent strong views.
branch_field = ['sup', 'unsup_teacher', 'unsup_student1', 'unsup_student2']
view_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction',
             'homography_matrix')
view_pipeline = [
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PackDetInputs', meta_keys=view_keys)
]
strong_pipeline = [
    *view_pipeline[:2],
    dict(type='mmdet.PhotoMetricDistortion'),
    dict(type='mmdet.RandomErasing', n_patches=(1, 3), ratio=(0, 0.1)),
    *view_pipeline[2:],
]
sup_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(
        type='mmdet.MultiBranch',
        branch_field=branch_field,
        sup=dict(type='mmdet.PackDetInputs')),
]
unsup_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadEmptyAnnotations'),
    dict(
        type='mmdet.MultiBranch',
        branch_field=branch_field,
        unsup_teacher=view_pipeline,
        unsup_student1=strong_pipeline,
        unsup_student2=strong_pipeline),
]

# Rotated DINO with this package's defaults and a small EMOv2 on the toy scenes.
_base_ = [
    '../_base_/models/detr_emov2_toy.py', '../_base_/datasets/toy_dota.py',
    '../_base_/schedules/detr_toy.py', 'mmrotate::_base_/default_runtime.py'
]

num_classes = 5
model = dict(
    type='mmext.RotatedDINO',
    box_space=dict(angle='wrap', sampling='exact'),
    data_preprocessor=dict(boxtype2tensor=False),
    decoder=dict(return_intermediate=True),
    positional_encoding=dict(num_feats=32, normalize=True, offset=0.0, temperature=20),
    bbox_head=dict(
        type='mmext.RotatedDINOHead', num_classes=num_classes, embed_dims=64,
        sync_cls_avg_factor=True, angle_by_elongation=True,
        # O2-RTDETR's box loss, DEIM's classes: positives weigh 1 while boxes are still poor.
        loss_cls=dict(type='mmext.MatchabilityAwareLoss'),
        loss_iou=dict(type='mmext.GaussianLoss', loss_weight=2.0)),
    num_queries=30,
    dn_cfg=dict(
        label_noise_scale=0.5,
        box_noise_scale=1.0,
        noise_mode='only_xywh',
        group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=50)),
    test_cfg=dict(max_per_img=100))

# Half of the objects are smaller than 17 of 128 pixels: enlarged, they cover more than one token.
train_pipeline, val_pipeline = _base_.train_pipeline, _base_.val_pipeline
train_pipeline[3].scale = val_pipeline[1].scale = (192, 192)
test_pipeline = val_pipeline
# Difficult objects are learned from, as mmrotate does by default: left out, a quarter of what is in the
# images would count as background.
train_dataloader = dict(batch_size=8, dataset=dict(diff_thr=100, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(iou_thrs=[0.5, 0.75])
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=2), logger=dict(interval=10))

# Rotated DINO, R50, DOTA-v1.0 tiles, 12 epochs: this package's defaults (circular angle, exact sampling,
# Chamfer + KLD matching, adaptive denoising). The published baseline's settings are in the file -official.
_base_ = [
    '../_base_/models/rotated-dino_r50.py', 'mmrotate::_base_/datasets/dota.py',
    '../_base_/schedules/rotated-dino_12e.py', 'mmrotate::_base_/default_runtime.py'
]

model = dict(bbox_head=dict(num_classes=15))
train_dataloader = dict(batch_size=1, num_workers=2)
val_evaluator = dict(type='mmext.DOTAMetric', metric='mAP', iou_thrs=[0.5, 0.75])
test_evaluator = val_evaluator

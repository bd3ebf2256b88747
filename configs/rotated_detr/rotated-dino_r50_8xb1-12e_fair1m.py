# Rotated DINO, R50, FAIR1M's 1024x1024 tiles, 12 epochs, this package's defaults; no published number.
_base_ = [
    '../_base_/models/rotated-dino_r50.py', '../_base_/datasets/fair1m.py',
    '../_base_/schedules/rotated-dino_12e.py', 'mmrotate::_base_/default_runtime.py'
]

model = dict(bbox_head=dict(num_classes=37))
train_dataloader = dict(batch_size=1, num_workers=2)

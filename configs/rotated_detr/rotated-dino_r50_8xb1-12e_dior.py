# Rotated DINO, R50, DIOR-R at 800x800, 12 epochs, this package's defaults. Published baseline: 65.78 AP50.
_base_ = [
    '../_base_/models/rotated-dino_r50.py', '../_base_/datasets/dior_r.py',
    '../_base_/schedules/rotated-dino_12e.py', 'mmrotate::_base_/default_runtime.py'
]

model = dict(bbox_head=dict(num_classes=20))
train_dataloader = dict(batch_size=1, num_workers=2)

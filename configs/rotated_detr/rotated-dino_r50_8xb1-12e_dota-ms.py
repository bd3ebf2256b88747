# Rotated DINO, R50, DOTA-v1.0, multi-scale tiles, 12 epochs, this package's defaults.
_base_ = './rotated-dino_r50_8xb1-12e_dota.py'

data = dict(data_root='data/split_ms_dota/')
train_dataloader = dict(dataset=data)
val_dataloader = dict(dataset=data)
test_dataloader = dict(dataset=data)

# Rotated DINO, R50, DOTA-v1.5 tiles, 12 epochs, this package's defaults.
_base_ = './rotated-dino_r50_8xb1-12e_dota.py'

data = dict(type='mmrotate.DOTAv15Dataset', data_root='data/split_ss_dota1_5/')
model = dict(bbox_head=dict(num_classes=16))
train_dataloader = dict(dataset=data)
val_dataloader = dict(dataset=data)
test_dataloader = dict(dataset=data)

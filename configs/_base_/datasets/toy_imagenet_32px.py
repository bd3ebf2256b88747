# Toy objects, ImageNet folders, at 32x32 in the place of 128x128: for networks of CIFAR's size.
_base_ = './toy_imagenet.py'

train_pipeline = _base_.train_pipeline
train_pipeline[1].update(scale=32)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=32)
test_pipeline[2].update(crop_size=32)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

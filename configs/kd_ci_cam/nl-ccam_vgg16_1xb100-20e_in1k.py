# NL-CCAM of VGG-16 on ImageNet, the baseline without context: top-1 / GT-known localisation 48.59 / 62.88.
_base_ = './ci-cam_vgg16_1xb80-20e_in1k.py'

model = dict(head=dict(context=None))
train_dataloader = dict(batch_size=100)
optim_wrapper = dict(optimizer=dict(lr=1.625e-4))
auto_scale_lr = dict(base_batch_size=100)

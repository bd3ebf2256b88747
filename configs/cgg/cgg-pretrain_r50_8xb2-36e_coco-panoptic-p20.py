# The first stage of CGG for open-set panoptic segmentation: one class, from the masks of the known things.
_base_ = ['./cgg-pretrain_r50_8xb2-36e_coco-b48n17.py', '../_base_/classes/coco_osps.py']

train_dataloader = dict(dataset=dict(metainfo=dict(classes=_base_.known_things)))
val_dataloader = dict(dataset=dict(metainfo=dict(classes=_base_.things)))
test_dataloader = val_dataloader

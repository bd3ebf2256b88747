# Relation-DETR, ResNet-50, 12 epochs on SA-Det-100k, class-agnostic: box AP 45.0 (paper).
# SA-Det-100k are about 100,000 images of SA-1B in COCO's format, huggingface.co/datasets/xiuqhou/SA-Det-100k
_base_ = './relation-detr_r50_8xb2-12e_coco.py'

model = dict(bbox_head=dict(num_classes=1))

data_root = 'data/sa_det_100k/'
metainfo = dict(classes=('object', ), palette=[(220, 20, 60)])
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/')))
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/')))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator

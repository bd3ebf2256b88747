_base_ = 'cst_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py'

labeled_dataset = _base_.labeled_dataset
labeled_dataset.ann_file = 'semi_anns/instances_train2017.1@5.json'
unlabeled_dataset = _base_.unlabeled_dataset
unlabeled_dataset.ann_file = 'semi_anns/instances_train2017.1@5-unlabeled.json'
train_dataloader = dict(dataset=dict(datasets=[labeled_dataset, unlabeled_dataset]))

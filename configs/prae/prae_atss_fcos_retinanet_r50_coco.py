# Three one-stage detectors of mmdet, each with its released weights, fused by P-NMS; no published number.
_base_ = ['mmdet::_base_/datasets/coco_detection.py', 'mmdet::_base_/default_runtime.py']

model = dict(
    type='mmext.EnsembleDetector',
    detectors=[
        dict(name='atss', config='mmdet::atss/atss_r50_fpn_1x_coco.py'),
        dict(name='fcos', config='mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'),
        dict(name='retinanet', config='mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'),
    ],
    calibrator=None,  # a file of `mmext ensemble fit`
    fusion=dict(type='mmext.PRAEFusion', nms=dict(type='p_nms', iou_threshold=0.6), max_per_img=100))

# An ensemble is only tested.
train_dataloader = None
val_dataloader = None
val_evaluator = None
test_cfg = dict(type='TestLoop')

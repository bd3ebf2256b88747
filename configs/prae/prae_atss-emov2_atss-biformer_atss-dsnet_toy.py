# Three toy detectors fused by P-NMS; see README.md for training them and fitting the calibration.
_base_ = ['../_base_/datasets/toy_coco_detection.py', 'mmdet::_base_/default_runtime.py']

model = dict(
    type='mmext.EnsembleDetector',
    detectors=[
        dict(name='emov2', config='mmext::emov2/atss_emov2_fpn_toy.py'),
        dict(name='biformer', config='mmext::biformer/atss_biformer_fpn_toy.py'),
        dict(name='dsnet', config='mmext::dsnet/atss_dsnet_dsfpn_toy.py'),
    ],
    # calibrator='work_dirs/prae_toy/calibration.json', and a checkpoint for each detector:
    # by --cfg-options, as the page shows
    calibrator=None,
    fusion=dict(type='mmext.PRAEFusion', nms=dict(type='p_nms', iou_threshold=0.6), max_per_img=100))

# An ensemble is only tested.
train_dataloader = None
val_dataloader = None
val_evaluator = None
test_cfg = dict(type='TestLoop')

"""Configs that the hosts ship: a varied sample, and the ones that are really broken."""
from __future__ import annotations

from mmengine.config import Config

#: Every kind of model, dataset, wrapper, loop, sampler, hook and augmentation at least once.
SAMPLE = (
    'mmdet::atss/atss_r50_fpn_1x_coco.py',
    'mmdet::albu_example/mask-rcnn_r50_fpn_albu-1x_coco.py',
    'mmdet::cityscapes/mask-rcnn_r50_fpn_1x_cityscapes.py',
    'mmdet::conditional_detr/conditional-detr_r50_8xb2-50e_coco.py',
    'mmdet::dcnv2/mask-rcnn_r50-mdconv-c3-c5_fpn_1x_coco.py',
    'mmdet::ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py',
    'mmdet::deepsort/deepsort_faster-rcnn_r50_fpn_8xb2-4e_mot17halftrain_test-mot17halfval.py',
    'mmdet::detectors/detectors_htc-r50_1x_coco.py',
    'mmdet::detr/detr_r50_8xb2-150e_coco.py',
    'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
    'mmdet::fpg/mask-rcnn_r50_fpg_crop640-50e_coco.py',
    'mmdet::glip/glip_atss_swin-t_a_fpn_dyhead_16xb2_ms-2x_funtune_coco.py',
    'mmdet::grid_rcnn/grid-rcnn_r50_fpn_gn-head_1x_coco.py',
    'mmdet::lvis/mask-rcnn_r50_fpn_sample1e-3_ms-1x_lvis-v1.py',
    'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py',
    'mmdet::openimages/faster-rcnn_r50_fpn_32xb2-1x_openimages.py',
    'mmdet::pascal_voc/retinanet_r50_fpn_1x_voc0712.py',
    'mmdet::point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py',
    'mmdet::queryinst/queryinst_r50_fpn_1x_coco.py',
    'mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py',
    'mmdet::seesaw_loss/mask-rcnn_r50_fpn_seesaw-loss_random-ms-2x_lvis-v1.py',
    'mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py',
    'mmdet::yolact/yolact_r50_1xb8-55e_coco.py',
    'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py',
    'mmseg::bisenetv2/bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024.py',
    'mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-40k_voc12aug-512x512.py',
    'mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py',
    'mmseg::maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py',
    'mmseg::point_rend/pointrend_r50_4xb2-80k_cityscapes-512x1024.py',
    'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
    'mmseg::stdc/stdc1_4xb12-80k_cityscapes-512x1024.py',
    'mmseg::unet/unet-s5-d16_fcn_4xb4-40k_drive-64x64.py',
    'mmpretrain::beit/beit_beit-base-p16_8xb256-amp-coslr-300e_in1k.py',
    'mmpretrain::blip/blip-base_8xb32_retrieval.py',
    'mmpretrain::flamingo/flamingo_fewshot_caption.py',
    'mmpretrain::mocov3/mocov3_vit-small-p16_16xb256-amp-coslr-300e_in1k.py',
    'mmpretrain::resnet/resnet50_8xb16-mixup_cifar10.py',
    'mmpretrain::swav/swav_resnet50_8xb32-mcrop-coslr-200e_in1k-224px-96px.py',
    'mmpretrain::vision_transformer/vit-base-p16_8xb64-lora_in1k-384px.py',
    'mmrotate::h2rbox_v2/h2rbox_v2-le90_r50_fpn_rr-6x_hrsc.py',
    'mmrotate::oriented_rcnn/oriented-rcnn-le90_r50_fpn_1x_dota.py',
    'mmrotate::r3det/r3det-oc_r50_fpn_1x_dota.py',
    'mmrotate::redet/redet-le90_re50_refpn_1x_dota.py',
    'mmrotate::rotated_rtmdet/rotated_rtmdet_tiny-3x-dota.py',
)

#: Their _base_ does not exist, or mixes the two styles of config.
DO_NOT_LOAD = frozenset((
    'mmdet::bytetrack/bytetrack_yolox_x_8xb4-amp-80e_crowdhuman-mot17halftrain_test-mot17test.py',
    'mmdet::sort/faster-rcnn_r50_fpn_8xb2-4e_mot17train_test-mot17train.py',
    'mmdet::sort/faster-rcnn_r50_fpn_8xb2-8e_mot20halftrain_test-mot20halfval.py',
    'mmdet::sort/faster-rcnn_r50_fpn_8xb2-8e_mot20train_test-mot20train.py',
    'mmpretrain::replknet/deploy/replknet-31B-deploy_32xb64_in1k-384px.py',
    'mmpretrain::replknet/deploy/replknet-31B-deploy_32xb64_in1k.py',
    'mmpretrain::replknet/replknet-31B_32xb64_in1k-384px.py',
    'mmpretrain::replknet/replknet-31B_32xb64_in1k.py',
    'mmpretrain::swin_transformer_v2/swinv2-base-w12_8xb128_in21k-192px.py',
    'mmpretrain::swin_transformer_v2/swinv2-large-w12_8xb128_in21k-192px.py',
    'mmrotate::gwd/rotated-retinanet-rbox-le135_r50_fpn_gwd_1x_dota.py',
))

_MOT20 = {'test_evaluator', 'test_pipeline'}
_NO_LOADERS = {'val_dataloader', 'test_dataloader'}
_NO_LOOPS = {'val_cfg', 'test_cfg'}
_SAN = {'model.decode_head.num_classes', 'val_dataloader.dataset.metainfo.classes',
        'test_dataloader.dataset.metainfo.classes'}

#: Configs that load but cannot run as they stand, or train on something other than they say, and
#: the places the check has to name. Each was looked at.
BUGS = {
    'mmdet::bytetrack/bytetrack_yolox_x_8xb4-80e_crowdhuman-mot20train_test-mot20test.py': _MOT20,
    'mmdet::bytetrack/bytetrack_yolox_x_8xb4-amp-80e_crowdhuman-mot20train_test-mot20test.py':
        _MOT20,
    'mmdet::cascade_rpn/cascade-rpn_r50-caffe_fpn_1x_coco.py':
        {'model.rpn_head.stages.0', 'model.rpn_head.stages.1'},
    'mmdet::pascal_voc/faster-rcnn_r50_fpn_1x_voc0712-cocofmt.py':
        {'val_evaluator', 'test_evaluator'},
    'mmdet::solov2/solov2-light_r18_fpn_ms-3x_coco.py': {'train_cfg'},
    'mmdet::solov2/solov2-light_r34_fpn_ms-3x_coco.py': {'train_cfg'},
    'mmdet::solov2/solov2-light_r50-dcn_fpn_ms-3x_coco.py': {'train_cfg'},
    'mmdet::solov2/solov2-light_r50_fpn_ms-3x_coco.py': {'train_cfg'},
    'mmdet::strongsort/yolox_x_8xb4-80e_crowdhuman-mot20train_test-mot20test.py':
        {'test_pipeline'},
    'mmdet::v3det/fcos_swinb_fpn_8x4_sample1e-3_mstrain_v3det_2x.py': {'model.neck'},
    # models = dict(...) where model is meant: the hard example mining is never switched on
    'mmseg::bisenetv2/bisenetv2_fcn_4xb4-ohem-160k_cityscapes-1024x1024.py': {'models'},
    'mmseg::knet/knet-s3_swin-l_upernet_8xb2-adamw-80k_ade20k-640x640.py':
        {'train_pipeline', 'test_pipeline'},
    # trained with 21 classes, evaluated with 20
    'mmseg::san/san-vit-b16_voc12aug-640x640.py': _SAN,
    'mmseg::san/san-vit-l14_voc12aug-640x640.py': _SAN,
    'mmpretrain::blip/blip-base_8xb32_caption.py': {'train_cfg'},
    'mmpretrain::blip/blip-base_8xb32_caption_flickr30k.py': {'train_cfg'},
    'mmpretrain::blip2/blip2-opt2.7b_8xb16_gqa.py': {'train_cfg'},
    'mmpretrain::blip2/blip2-opt2.7b_8xb16_vqa.py': {'train_cfg'},
    'mmpretrain::blip2/blip2_8xb32_retrieval.py': {'model'},
    'mmpretrain::clip/vit-large-p14_headless.py': {'test_cfg'},
    'mmpretrain::convnext/convnext-base_32xb128_in21k.py': _NO_LOADERS,
    'mmpretrain::convnext/convnext-large_64xb64_in21k.py': _NO_LOADERS,
    'mmpretrain::convnext/convnext-xlarge_64xb64_in21k.py': _NO_LOADERS,
    **{f'mmpretrain::densenet/densenet{depth}_4xb256_in1k.py': {'param_scheduler.milestones'}
       for depth in (121, 161, 169, 201)},
    **{f'mmpretrain::efficientnet_v2/efficientnetv2-{size}_8xb32_in21k.py':
       {'model.head.num_classes', 'data_preprocessor.num_classes'} for size in ('s', 'm', 'l', 'xl')},
    'mmpretrain::lenet/lenet5_mnist.py': {'param_scheduler.milestones'},
    'mmpretrain::maskfeat/benchmarks/vit-base-p16_8xb256-coslr-100e_in1k.py': {'train_cfg'},
    'mmpretrain::resnest/resnest101_32xb64_in1k.py': _NO_LOOPS,
    'mmpretrain::resnest/resnest200_64xb32_in1k.py':
        {*_NO_LOOPS, 'train_pipeline', 'test_pipeline'},
    'mmpretrain::resnest/resnest269_64xb32_in1k.py': _NO_LOOPS,
    'mmpretrain::resnest/resnest50_32xb64_in1k.py': _NO_LOOPS,
    'mmpretrain::resnet/resnet50_8xb128_coslr-90e_in21k.py':
        {*_NO_LOADERS, 'param_scheduler.1.T_max'},
    'mmpretrain::resnet/resnet50_8xb32-cutmix_in1k.py': {'model.train_cfg.augments'},
    'mmpretrain::simmim/benchmarks/swin-large-w14_8xb256-coslr-100e_in1k.py':
        {'param_scheduler.1.T_max'},
    'mmpretrain::vision_transformer/vit-base-p16_4xb544-ipu_in1k.py': {'train_cfg', *_NO_LOOPS},
    'mmrotate::convnext/rotated-retinanet-rbox-le90_convnext-tiny_fpn_kld-stable_adamw-1x_dota.py':
        {'model.backbone'},
    # Written for mmrotate 0.x; most of its types are gone.
    'mmrotate::s2anet/s2anet-le135_r50_fpn_3x_hrsc.py': {
        'model', 'model.backbone', 'model.neck', 'model.fam_head',
        'model.fam_head.anchor_generator', 'model.fam_head.bbox_coder', 'model.fam_head.loss_cls',
        'model.align_cfgs', 'model.odm_head', 'model.odm_head.anchor_generator',
        'model.odm_head.bbox_coder', 'model.odm_head.loss_cls', 'model.odm_head.loss_bbox',
        'model.train_cfg.fam_cfg.assigner', 'model.train_cfg.odm_cfg.assigner',
        'model.fam_head.loss_bbox'},
}


def is_runnable(cfg: Config) -> bool:
    """Whether a file means to be a whole config (and not a part, or weights without a task)."""
    return bool(cfg.get('model') and cfg.get('default_scope') and any(
        cfg.get(f'{phase}_dataloader') for phase in ('train', 'val', 'test')))

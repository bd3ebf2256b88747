# DIOR-R at 800x800: learned on train and val, tested on test, as published. The labels come from the
# published XML files, one command for each part:
#   oriented_xml_to_dota.py dior-r "data/DIOR/Annotations/Oriented Bounding Boxes" \
#       data/DIOR/labelTxt-trainval --split data/DIOR/ImageSets/Main/{train,val}.txt
_base_ = '../pipelines/dota_format.py'

dataset_type = 'mmrotate.DOTADataset'
data_root = 'data/DIOR/'
metainfo = dict(
    classes=(
        'airplane', 'airport', 'baseballfield', 'basketballcourt', 'bridge', 'chimney',
        'expressway-service-area', 'expressway-toll-station', 'dam', 'golffield', 'groundtrackfield',
        'harbor', 'overpass', 'ship', 'stadium', 'storagetank', 'tenniscourt', 'trainstation', 'vehicle',
        'windmill'),
    palette=[(220, 20, 60), (119, 11, 32), (0, 0, 142), (0, 0, 230), (106, 0, 228), (0, 60, 100),
             (0, 80, 100), (0, 0, 70), (0, 0, 192), (250, 170, 30), (100, 170, 30), (220, 220, 0),
             (175, 116, 175), (250, 0, 30), (165, 42, 42), (255, 77, 255), (0, 226, 252), (182, 182, 255),
             (0, 82, 0), (120, 166, 157)])

train_pipeline, val_pipeline = _base_.train_pipeline, _base_.val_pipeline
train_pipeline[3].scale = val_pipeline[1].scale = (800, 800)
test_pipeline = val_pipeline
source = dict(type=dataset_type, data_root=data_root, metainfo=metainfo, img_suffix='jpg')
train_dataloader = dict(
    dataset=dict(
        **source,
        ann_file='labelTxt-trainval/',
        data_prefix=dict(img_path='JPEGImages-trainval/'),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        **source,
        ann_file='labelTxt-test/',
        data_prefix=dict(img_path='JPEGImages-test/'),
        pipeline=val_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(iou_thrs=[0.5, 0.75])
test_evaluator = val_evaluator

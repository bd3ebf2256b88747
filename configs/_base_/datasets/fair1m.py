# FAIR1M's 37 classes, 1024x1024 tiles made by tools/dataset_converters/oriented_xml_to_dota.py and
# dota_tiles.py. Labels of test are not published: figures are those of the folder val.
_base_ = '../pipelines/dota_format.py'

dataset_type = 'mmrotate.DOTADataset'
data_root = 'data/split_ss_fair1m/'
metainfo = dict(
    classes=(
        'Boeing737', 'Boeing747', 'Boeing777', 'Boeing787', 'C919', 'A220', 'A321', 'A330', 'A350', 'ARJ21',
        'other-airplane', 'Passenger-Ship', 'Motorboat', 'Fishing-Boat', 'Tugboat', 'Engineering-Ship',
        'Liquid-Cargo-Ship', 'Dry-Cargo-Ship', 'Warship', 'other-ship', 'Small-Car', 'Bus', 'Cargo-Truck',
        'Dump-Truck', 'Van', 'Trailer', 'Tractor', 'Excavator', 'Truck-Tractor', 'other-vehicle',
        'Basketball-Court', 'Tennis-Court', 'Football-Field', 'Baseball-Field', 'Intersection',
        'Roundabout', 'Bridge'),
    # One hue per kind: aircraft, ships, vehicles, courts, roads.
    palette=[(220, 20, 60)] * 11 + [(0, 82, 200)] * 9 + [(250, 170, 30)] * 10 + [(60, 160, 75)] * 4
    + [(145, 60, 180)] * 3)

source = dict(type=dataset_type, data_root=data_root, metainfo=metainfo)
train_dataloader = dict(
    dataset=dict(
        **source, ann_file='train/annfiles/', data_prefix=dict(img_path='train/images/')))
val_dataloader = dict(
    dataset=dict(
        **source, ann_file='val/annfiles/', data_prefix=dict(img_path='val/images/')))
test_dataloader = val_dataloader

val_evaluator = dict(iou_thrs=[0.5, 0.75])
test_evaluator = val_evaluator

# The four semantic data sets of LMSeg: names, augmentation and evaluation of each.
# Names are those of the authors' prompts (detectron2's; of a name with commas the first counts);
# mmseg's differ for 11 of ADE20K's.
ade20k_names = (
    'wall', 'building', 'sky', 'floor', 'tree', 'ceiling', 'road', 'bed', 'window', 'grass',
    'cabinet', 'sidewalk', 'person', 'earth', 'door', 'table', 'mountain', 'plant', 'curtain',
    'chair', 'car', 'water', 'painting', 'sofa', 'shelf', 'house', 'sea', 'mirror', 'rug', 'field',
    'armchair', 'seat', 'fence', 'desk', 'rock', 'wardrobe', 'lamp', 'tub', 'rail', 'cushion',
    'base', 'box', 'column', 'signboard', 'chest of drawers', 'counter', 'sand', 'sink',
    'skyscraper', 'fireplace', 'refrigerator', 'grandstand', 'path', 'stairs', 'runway', 'case',
    'pool table', 'pillow', 'screen door', 'stairway', 'river', 'bridge', 'bookcase', 'blind',
    'coffee table', 'toilet', 'flower', 'book', 'hill', 'bench', 'countertop', 'stove', 'palm',
    'kitchen island', 'computer', 'swivel chair', 'boat', 'bar', 'arcade machine', 'hovel', 'bus',
    'towel', 'light', 'truck', 'tower', 'chandelier', 'awning', 'street lamp', 'booth', 'tv',
    'plane', 'dirt track', 'clothes', 'pole', 'land', 'bannister', 'escalator', 'ottoman', 'bottle',
    'buffet', 'poster', 'stage', 'van', 'ship', 'fountain', 'conveyer belt', 'canopy', 'washer',
    'plaything', 'pool', 'stool', 'barrel', 'basket', 'falls', 'tent', 'bag', 'minibike', 'cradle',
    'oven', 'ball', 'food', 'step', 'tank', 'trade name', 'microwave', 'pot', 'animal', 'bicycle',
    'lake', 'dishwasher', 'screen', 'blanket', 'sculpture', 'hood', 'sconce', 'vase',
    'traffic light', 'tray', 'trash can', 'fan', 'pier', 'crt screen', 'plate', 'monitor',
    'bulletin board', 'shower', 'radiator', 'glass', 'clock', 'flag')
cityscapes_names = (
    'road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign',
    'vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle',
    'bicycle')
cocostuff_names = (
    'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat',
    'traffic light', 'fire hydrant', 'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog',
    'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe', 'backpack', 'umbrella',
    'handbag', 'tie', 'suitcase', 'frisbee', 'skis', 'snowboard', 'sports ball', 'kite',
    'baseball bat', 'baseball glove', 'skateboard', 'surfboard', 'tennis racket', 'bottle',
    'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple', 'sandwich', 'orange',
    'broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake', 'chair', 'couch', 'potted plant',
    'bed', 'dining table', 'toilet', 'tv', 'laptop', 'mouse', 'remote', 'keyboard', 'cell phone',
    'microwave', 'oven', 'toaster', 'sink', 'refrigerator', 'book', 'clock', 'vase', 'scissors',
    'teddy bear', 'hair drier', 'toothbrush', 'banner', 'blanket', 'branch', 'bridge',
    'building-other', 'bush', 'cabinet', 'cage', 'cardboard', 'carpet', 'ceiling-other',
    'ceiling-tile', 'cloth', 'clothes', 'clouds', 'counter', 'cupboard', 'curtain', 'desk-stuff',
    'dirt', 'door-stuff', 'fence', 'floor-marble', 'floor-other', 'floor-stone', 'floor-tile',
    'floor-wood', 'flower', 'fog', 'food-other', 'fruit', 'furniture-other', 'grass', 'gravel',
    'ground-other', 'hill', 'house', 'leaves', 'light', 'mat', 'metal', 'mirror-stuff', 'moss',
    'mountain', 'mud', 'napkin', 'net', 'paper', 'pavement', 'pillow', 'plant-other', 'plastic',
    'platform', 'playingfield', 'railing', 'railroad', 'river', 'road', 'rock', 'roof', 'rug',
    'salad', 'sand', 'sea', 'shelf', 'sky-other', 'skyscraper', 'snow', 'solid-other', 'stairs',
    'stone', 'straw', 'structural-other', 'table', 'tent', 'textile-other', 'towel', 'tree',
    'vegetable', 'wall-brick', 'wall-concrete', 'wall-other', 'wall-panel', 'wall-stone',
    'wall-tile', 'wall-wood', 'water-other', 'waterdrops', 'window-blind', 'window-other', 'wood')
mapillary_names = (
    'Bird', 'Ground Animal', 'Curb', 'Fence', 'Guard Rail', 'Barrier', 'Wall', 'Bike Lane',
    'Crosswalk - Plain', 'Curb Cut', 'Parking', 'Pedestrian Area', 'Rail Track', 'Road',
    'Service Lane', 'Sidewalk', 'Bridge', 'Building', 'Tunnel', 'Person', 'Bicyclist',
    'Motorcyclist', 'Other Rider', 'Lane Marking - Crosswalk', 'Lane Marking - General', 'Mountain',
    'Sand', 'Sky', 'Snow', 'Terrain', 'Vegetation', 'Water', 'Banner', 'Bench', 'Bike Rack',
    'Billboard', 'Catch Basin', 'CCTV Camera', 'Fire Hydrant', 'Junction Box', 'Mailbox', 'Manhole',
    'Phone Booth', 'Pothole', 'Street Light', 'Pole', 'Traffic Sign Frame', 'Utility Pole',
    'Traffic Light', 'Traffic Sign (Back)', 'Traffic Sign (Front)', 'Trash Can', 'Bicycle', 'Boat',
    'Bus', 'Car', 'Caravan', 'Motorcycle', 'On Rails', 'Other Vehicle', 'Trailer', 'Truck',
    'Wheeled Slow', 'Car Mount', 'Ego Vehicle')

prompt = 'a photo of {}'
taxonomies = dict(
    ade20k=dict(classes=ade20k_names, prompt=prompt),
    cityscapes=dict(classes=cityscapes_names, prompt=prompt),
    cocostuff10k=dict(classes=cocostuff_names, prompt=prompt),
    mapillary=dict(classes=mapillary_names, prompt=prompt))


def load(relabel):
    return [dict(type='mmseg.LoadAnnotations'), *relabel]


def train_pipeline(short_edges, max_size, crop_size, pad, relabel=()):
    padding = [] if not pad else [
        # before the normalisation, as the authors do: padding is grey, not black
        dict(type='Pad', size=crop_size, pad_val=dict(img=128, seg=255))
    ]
    return [
        dict(type='LoadImageFromFile'),
        *load(relabel),
        dict(
            type='RandomChoiceResize',
            scales=short_edges,
            resize_type='mmseg.ResizeShortestEdge',
            max_size=max_size),
        dict(type='mmseg.RandomCrop', crop_size=crop_size, cat_max_ratio=1.0),
        dict(type='mmseg.PhotoMetricDistortion'),
        dict(type='mmseg.RandomFlip', prob=0.5),
        *padding,
        dict(type='mmseg.PackSegInputs')
    ]


def test_pipeline(short_edge, max_size, relabel=()):
    return [
        dict(type='LoadImageFromFile'),
        dict(type='mmseg.Resize', scale=(max_size, short_edge), keep_ratio=True),
        # after Resize: the metric compares with the label map of the original picture
        *load(relabel),
        dict(type='mmseg.PackSegInputs')
    ]


def fractions(short_edge, steps=range(5, 21)):
    return [int(short_edge * step / 10) for step in steps]


ade20k = dict(type='mmseg.ADE20KDataset', data_root='data/ade/ADEChallengeData2016', reduce_zero_label=True)
cityscapes = dict(type='mmseg.CityscapesDataset', data_root='data/cityscapes/')
# label maps of mmseg's tools/dataset_converters/coco_stuff10k.py: 0 is unlabelled
cocostuff10k = dict(type='mmseg.COCOStuffDataset', data_root='data/coco_stuff10k', reduce_zero_label=True,
                    img_suffix='.jpg', seg_map_suffix='_labelTrainIds.png')
mapillary = dict(type='mmseg.MapillaryDataset_v1', data_root='data/mapillary/',
                 metainfo=dict(classes=mapillary_names))
unlabelled = [dict(type='mmext.Relabel', labels={65: 255})]


def dataset(name, source, images, labels, pipeline):
    return dict(
        name=name,
        dataset=dict(source, data_prefix=dict(img_path=images, seg_map_path=labels), pipeline=pipeline))


batch_size = 2
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=4,
    persistent_workers=True,
    # The published runs draw the data set of every process's batch at random, all equally often.
    sampler=dict(
        type='mmext.MultiDatasetSampler',
        batch_size=batch_size,
        ratios=dict(ade20k=1, cityscapes=1, cocostuff10k=1, mapillary=1)),
    dataset=dict(
        type='mmext.MultiDataset',
        datasets=[
            dataset('ade20k', ade20k, 'images/training', 'annotations/training',
                    train_pipeline(fractions(512), 2048, (512, 512), True)),
            dataset('cityscapes', cityscapes, 'leftImg8bit/train', 'gtFine/train',
                    train_pipeline(fractions(1024), 4096, (512, 1024), False)),
            dataset('cocostuff10k', cocostuff10k, 'images/train2014', 'annotations/train2014',
                    train_pipeline(list(range(320, 961, 64)), 2560, (640, 640), True)),
            dataset('mapillary', mapillary, 'training/images', 'training/v1.2/labels',
                    train_pipeline(fractions(2048), 8192, (1280, 1280), True, unlabelled)),
        ]))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmext.MultiDataset',
        datasets=[
            dataset('ade20k', ade20k, 'images/validation', 'annotations/validation',
                    test_pipeline(512, 2048)),
            dataset('cityscapes', cityscapes, 'leftImg8bit/val', 'gtFine/val', test_pipeline(1024, 2048)),
            dataset('cocostuff10k', cocostuff10k, 'images/test2014', 'annotations/test2014',
                    test_pipeline(640, 2560)),
            dataset('mapillary', mapillary, 'validation/images', 'validation/v1.2/labels',
                    test_pipeline(2048, 2048, unlabelled)),
        ]))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='mmext.MultiDatasetMetric',
    by_dataset={name: dict(type='mmext.IoUMetric', iou_metrics=['mIoU'])
                for name in ('ade20k', 'cityscapes', 'cocostuff10k', 'mapillary')})
test_evaluator = val_evaluator

# The three panoptic data sets of LMSeg: names, augmentation and evaluation of each. Their files:
# COCO's own; ADE20K's from mmdet's tools/dataset_converters/ade20k2coco.py; Cityscapes' from
# `python -m cityscapesscripts.preparation.createPanopticImgs --use-train-id`. Nothing needs panopticapi.
# ADE20K's classes are in the order of its label maps; of a name with commas the first counts.
ade20k_classes = (
    'wall', 'building', 'sky', 'floor', 'tree', 'ceiling', 'road, route', 'bed', 'window', 'grass',
    'cabinet', 'sidewalk, pavement', 'person', 'earth, ground', 'door', 'table', 'mountain, mount',
    'plant', 'curtain', 'chair', 'car', 'water', 'painting, picture', 'sofa', 'shelf', 'house', 'sea',
    'mirror', 'rug', 'field', 'armchair', 'seat', 'fence', 'desk', 'rock, stone',
    'wardrobe, closet, press', 'lamp', 'tub', 'rail', 'cushion', 'base, pedestal, stand', 'box',
    'column, pillar', 'signboard, sign', 'chest of drawers, chest, bureau, dresser', 'counter',
    'sand', 'sink', 'skyscraper', 'fireplace', 'refrigerator, icebox', 'grandstand, covered stand',
    'path', 'stairs', 'runway', 'case, display case, showcase, vitrine',
    'pool table, billiard table, snooker table', 'pillow', 'screen door, screen',
    'stairway, staircase', 'river', 'bridge, span', 'bookcase', 'blind, screen', 'coffee table',
    'toilet, can, commode, crapper, pot, potty, stool, throne', 'flower', 'book', 'hill', 'bench',
    'countertop', 'stove', 'palm, palm tree', 'kitchen island', 'computer', 'swivel chair', 'boat',
    'bar', 'arcade machine', 'hovel, hut, hutch, shack, shanty', 'bus', 'towel', 'light', 'truck',
    'tower', 'chandelier', 'awning, sunshade, sunblind', 'street lamp', 'booth', 'tv', 'airplane',
    'dirt track', 'clothes', 'pole', 'land, ground, soil',
    'bannister, banister, balustrade, balusters, handrail',
    'escalator, moving staircase, moving stairway', 'ottoman, pouf, pouffe, puff, hassock', 'bottle',
    'buffet, counter, sideboard', 'poster, posting, placard, notice, bill, card', 'stage', 'van',
    'ship', 'fountain', 'conveyer belt, conveyor belt, conveyer, conveyor, transporter', 'canopy',
    'washer, automatic washer, washing machine', 'plaything, toy', 'pool', 'stool', 'barrel, cask',
    'basket, handbasket', 'falls', 'tent', 'bag', 'minibike, motorbike', 'cradle', 'oven', 'ball',
    'food, solid food', 'step, stair', 'tank, storage tank', 'trade name', 'microwave', 'pot',
    'animal', 'bicycle', 'lake', 'dishwasher', 'screen', 'blanket, cover', 'sculpture',
    'hood, exhaust hood', 'sconce', 'vase', 'traffic light', 'tray', 'trash can', 'fan', 'pier',
    'crt screen', 'plate', 'monitor', 'bulletin board', 'shower', 'radiator', 'glass, drinking glass',
    'clock', 'flag')
ade20k_stuff = (
    'wall', 'building', 'sky', 'floor', 'tree', 'ceiling', 'road, route', 'grass',
    'sidewalk, pavement', 'earth, ground', 'mountain, mount', 'plant', 'water', 'house', 'sea', 'rug',
    'field', 'rock, stone', 'base, pedestal, stand', 'sand', 'skyscraper',
    'grandstand, covered stand', 'path', 'runway', 'stairway, staircase', 'river', 'bridge, span',
    'blind, screen', 'hill', 'bar', 'hovel, hut, hutch, shack, shanty', 'tower', 'dirt track',
    'land, ground, soil', 'escalator, moving staircase, moving stairway',
    'buffet, counter, sideboard', 'poster, posting, placard, notice, bill, card', 'stage',
    'conveyer belt, conveyor belt, conveyer, conveyor, transporter', 'canopy', 'pool', 'falls',
    'tent', 'cradle', 'tank, storage tank', 'lake', 'blanket, cover', 'pier', 'crt screen', 'shower')
cityscapes_classes = (
    'road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign',
    'vegetation', 'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle',
    'bicycle')
coco_things = (
    'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat',
    'traffic light', 'fire hydrant', 'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog',
    'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe', 'backpack', 'umbrella',
    'handbag', 'tie', 'suitcase', 'frisbee', 'skis', 'snowboard', 'sports ball', 'kite',
    'baseball bat', 'baseball glove', 'skateboard', 'surfboard', 'tennis racket', 'bottle',
    'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple', 'sandwich', 'orange',
    'broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake', 'chair', 'couch', 'potted plant',
    'bed', 'dining table', 'toilet', 'tv', 'laptop', 'mouse', 'remote', 'keyboard', 'cell phone',
    'microwave', 'oven', 'toaster', 'sink', 'refrigerator', 'book', 'clock', 'vase', 'scissors',
    'teddy bear', 'hair drier', 'toothbrush')
coco_stuff = (
    'banner', 'blanket', 'bridge', 'cardboard', 'counter', 'curtain', 'door-stuff', 'floor-wood',
    'flower', 'fruit', 'gravel', 'house', 'light', 'mirror-stuff', 'net', 'pillow', 'platform',
    'playingfield', 'railroad', 'river', 'road', 'roof', 'sand', 'sea', 'shelf', 'snow', 'stairs',
    'tent', 'towel', 'wall-brick', 'wall-stone', 'wall-tile', 'wall-wood', 'water-other',
    'window-blind', 'window-other', 'tree-merged', 'fence-merged', 'ceiling-merged',
    'sky-other-merged', 'cabinet-merged', 'table-merged', 'floor-other-merged', 'pavement-merged',
    'mountain-merged', 'grass-merged', 'dirt-merged', 'paper-merged', 'food-other-merged',
    'building-other-merged', 'rock-merged', 'wall-other-merged', 'rug-merged')
ade20k_things = tuple(filter(lambda name: name not in ade20k_stuff, ade20k_classes))
cityscapes_things = cityscapes_classes[11:]


def spoken(names):
    """In the authors' prompts what the file calls an airplane is a plane."""
    return tuple('plane' if name == 'airplane' else name for name in names)


# No sentence around the names, unlike in semantic segmentation.
taxonomies = dict(
    ade20k=dict(classes=spoken(ade20k_classes), things=spoken(ade20k_things)),
    cityscapes=dict(classes=cityscapes_classes, things=cityscapes_things),
    coco=dict(classes=coco_things + coco_stuff, things=coco_things))

meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip')
load = [dict(type='LoadImageFromFile'), dict(type='mmext.LoadPanoptic')]
finish = [
    dict(type='mmdet.FilterAnnotations', min_gt_bbox_wh=(1e-5, 1e-5), by_mask=True, keep_empty=False),
    dict(type='mmdet.PackDetInputs', meta_keys=meta_keys)
]


def shortest_edge(lengths, max_size):
    return dict(
        type='RandomChoiceResize', scales=lengths, resize_type='mmdet.ResizeShortestEdge', max_size=max_size)


def crop(**size):
    return dict(type='mmdet.RandomCrop', recompute_bbox=True, allow_negative_crop=True, **size)


def train_pipeline(lengths, max_size, crop_size, pad):
    return [
        *load,
        shortest_edge(lengths, max_size),
        crop(crop_type='absolute', crop_size=crop_size),  # width, height
        dict(type='mmdet.PhotoMetricDistortion'),
        dict(type='mmdet.RandomFlip', prob=0.5),
        # before the normalisation, as the authors do: padding is grey, not black
        *([dict(type='mmdet.Pad', size=crop_size, pad_val=dict(img=128, masks=0, seg=255))] if pad else []),
        *finish
    ]


def test_pipeline(short_edge, max_size):
    return [
        dict(type='LoadImageFromFile'),
        dict(type='mmdet.Resize', scale=(max_size, short_edge), keep_ratio=True),
        dict(type='mmdet.PackDetInputs', meta_keys=meta_keys)
    ]


cityscapes_lengths = [int(1024 * step / 10) for step in range(5, 21)]
coco_lengths = list(range(480, 801, 32))
detr_pipeline = [
    *load,
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(
        type='RandomChoice',
        transforms=[
            [shortest_edge(coco_lengths, 1333)],
            [
                shortest_edge([400, 500, 600], 4200),
                crop(crop_type='absolute_range', crop_size=(384, 600)),
                shortest_edge(coco_lengths, 1333)
            ],
        ]),
    *finish
]

metainfo = dict(
    ade20k=dict(classes=ade20k_classes, thing_classes=ade20k_things, stuff_classes=ade20k_stuff),
    cityscapes=dict(
        classes=cityscapes_classes,
        thing_classes=cityscapes_things,
        stuff_classes=cityscapes_classes[:11]),
    coco=dict(classes=coco_things + coco_stuff, thing_classes=coco_things, stuff_classes=coco_stuff))
roots = dict(ade20k='data/ade/ADEChallengeData2016/', cityscapes='data/cityscapes/', coco='data/coco/')
truth = dict(
    ade20k=dict(ann_file='ade20k_panoptic_val.json', seg_prefix='ade20k_panoptic_val/'),
    cityscapes=dict(
        ann_file='gtFine/cityscapes_panoptic_val_trainId.json',
        seg_prefix='gtFine/cityscapes_panoptic_val_trainId/'),
    coco=dict(ann_file='annotations/panoptic_val2017.json', seg_prefix='annotations/panoptic_val2017/'))


def dataset(name, part, folder, pipeline, layout='coco', **kwargs):
    names = truth[name]
    return dict(
        name=name,
        dataset=dict(
            type='mmext.PanopticDataset',
            data_root=roots[name],
            layout=layout,
            metainfo=metainfo[name],
            ann_file=names['ann_file'].replace('val', part),
            data_prefix=dict(img=folder, seg=names['seg_prefix'].replace('val', part)),
            pipeline=pipeline,
            **kwargs))


def evaluated(name):
    return dict(
        type='mmext.PanopticMetric', **{key: roots[name] + path for key, path in truth[name].items()})


keep_empty = dict(filter_empty_gt=False)
batch_size = 2
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(
        type='mmext.MultiDatasetSampler',
        batch_size=batch_size,
        ratios=dict(ade20k=1, cityscapes=1, coco=1)),
    dataset=dict(
        type='mmext.MultiDataset',
        datasets=[
            dataset('ade20k', 'train', 'images/training',
                    train_pipeline(list(range(320, 1281, 64)), 2560, (640, 640), True),
                    filter_cfg=keep_empty),
            dataset('cityscapes', 'train', 'leftImg8bit/train',
                    train_pipeline(cityscapes_lengths, 4096, (1024, 512), False),
                    layout='cityscapes', filter_cfg=keep_empty),
            dataset('coco', 'train', 'train2017', detr_pipeline, filter_cfg=keep_empty),
        ]))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmext.MultiDataset',
        datasets=[
            dataset('ade20k', 'val', 'images/validation', test_pipeline(640, 2560), test_mode=True),
            dataset('cityscapes', 'val', 'leftImg8bit/val', test_pipeline(1024, 2048), layout='cityscapes',
                    test_mode=True),
            dataset('coco', 'val', 'val2017', test_pipeline(800, 1333), test_mode=True),
        ]))
test_dataloader = val_dataloader
val_evaluator = dict(
    type='mmext.MultiDatasetMetric',
    by_dataset={name: evaluated(name) for name in ('ade20k', 'cityscapes', 'coco')})
test_evaluator = val_evaluator

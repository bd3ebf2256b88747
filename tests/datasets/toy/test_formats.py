"""The four formats tell the same story about the same scenes."""
from __future__ import annotations

import json
from collections import Counter, defaultdict

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from mmext.datasets import toy

from ..conftest import NUM_TRAIN, NUM_VAL

SPLITS = {'train': ('training', NUM_TRAIN, 0), 'val': ('validation', NUM_VAL, 500_000)}


def load(root, kind, split):
    return json.loads((root / f'coco/annotations/{kind}_{split}.json').read_text())


def read(path, flag=cv2.IMREAD_UNCHANGED):
    image = cv2.imread(str(path), flag)
    assert image is not None, path
    return image


def quads(root, split, index):
    """(4, 2) corners, class and difficulty of each line of a DOTA file."""
    text = (root / f'dota/{split}/annfiles/P{index + 1:06d}.txt').read_text()
    for line in text.splitlines():
        *corners, name, difficult = line.split()
        yield np.array(corners, float).reshape(4, 2), name, int(difficult)


@pytest.fixture(scope='module', params=['train', 'val'])
def split(request):
    return request.param


@pytest.fixture(scope='module')
def coco(toy_root, split):
    return COCO(str(toy_root / f'coco/annotations/instances_{split}.json'))


@pytest.fixture(scope='module')
def panoptic(toy_root, split):
    """Image id -> (segments, (H, W) ids)."""
    segments = {}
    for one in load(toy_root, 'panoptic', split)['annotations']:
        image = read(toy_root / f'coco/annotations/panoptic_{split}/{one["file_name"]}')
        ids = image[..., ::-1].astype(int) @ [1, 256, 65536]
        segments[one['image_id']] = one['segments_info'], ids
    return segments


def test_pictures_are_the_same_in_all_formats(toy_root, split):
    folder, count, offset = SPLITS[split]
    for index in range(count):
        pictures = {
            (toy_root / name).read_bytes()
            for name in (f'coco/{split}/{index + 1 + offset:012d}.png',
                         f'dota/{split}/images/P{index + 1:06d}.png',
                         f'ade20k/images/{folder}/ADE_{split}_{index + 1:08d}.png')
        }
        assert len(pictures) == 1
    assert len(list((toy_root / 'coco' / split).iterdir())) == count


def test_coco_masks_areas_and_boxes_are_exact(coco, panoptic):
    kinds = Counter()
    for one in coco.dataset['annotations']:
        mask = coco.annToMask(one).astype(bool)
        kinds[type(one['segmentation']), one['iscrowd']] += 1
        assert one['area'] == mask.sum() > 0
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert one['bbox'] == [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
        segments, ids = panoptic[one['image_id']]
        owners = set(ids[mask].tolist())
        assert len(owners) == 1
        [segment] = [segment for segment in segments if segment['id'] in owners]
        assert {key: segment[key] for key in ('area', 'bbox', 'category_id', 'iscrowd')} == {
            key: one[key] for key in ('area', 'bbox', 'category_id', 'iscrowd')}
    assert {(list, 0), (dict, 0)} <= set(kinds) <= {(list, 0), (dict, 0), (dict, 1)}


def test_coco_ids(coco, toy_root, split):
    _, count, offset = SPLITS[split]
    assert sorted(coco.imgs) == list(range(offset + 1, offset + count + 1))
    assert sorted(coco.anns) == list(range(1, len(coco.anns) + 1))
    categories = [(one['id'], one['name']) for one in coco.dataset['categories']]
    assert categories == list(enumerate(toy.CLASSES, 1))
    categories = load(toy_root, 'panoptic', split)['categories']
    assert [one['name'] for one in categories] == [*toy.CLASSES, *toy.STUFF]
    assert [one['isthing'] for one in categories] == [1] * 5 + [0] * 4


def test_there_is_a_crowd_somewhere(toy_root):
    annotations = load(toy_root, 'instances', 'train')['annotations']
    assert {one['iscrowd'] for one in annotations} == {0, 1}


def test_panoptic_segments_tile_their_picture(panoptic):
    for segments, ids in panoptic.values():
        numbers, counts = np.unique(ids, return_counts=True)
        areas = dict(zip(numbers.tolist(), counts.tolist()))
        areas.pop(0, None)  # unlabelled
        assert areas == {segment['id']: segment['area'] for segment in segments}
        for segment in segments:
            rows, columns = np.nonzero(ids == segment['id'])
            assert segment['bbox'] == [columns.min(), rows.min(), np.ptp(columns) + 1,
                                       np.ptp(rows) + 1]
            assert segment['iscrowd'] == 0 or segment['category_id'] <= len(toy.CLASSES)


def test_label_maps_are_the_panoptic_categories(toy_root, split, panoptic):
    folder, count, offset = SPLITS[split]
    unlabelled = 0
    for index in range(count):
        labels = read(toy_root / f'ade20k/annotations/{folder}/ADE_{split}_{index + 1:08d}.png')
        segments, ids = panoptic[index + 1 + offset]
        category = defaultdict(int, {one['id']: one['category_id'] for one in segments})
        assert np.array_equal(labels, np.vectorize(category.__getitem__)(ids))
        unlabelled += (labels == 0).any()
    assert unlabelled > 0


def test_dota_boxes_fit_the_coco_masks(toy_root, split, coco):
    _, count, offset = SPLITS[split]
    for index in range(count):
        boxes = list(quads(toy_root, split, index))
        annotations = coco.imgToAnns[index + 1 + offset]
        for one in annotations:
            name = toy.CLASSES[one['category_id'] - 1]
            mask = coco.annToMask(one)
            if one['iscrowd']:
                members = [(corners, difficult) for corners, other, difficult in boxes
                           if other == name and _cover(corners, mask) > 0.3]
                assert members and all(difficult for _, difficult in members)
                continue
            # the box that holds all of the visible mask, and is no larger than the shape explains
            holders = [corners for corners, other, _ in boxes
                       if other == name and _holds(corners, mask)]
            smallest = min(map(_area, holders))
            assert smallest * 1.1 + 12 >= one['area'] >= 0.4 * 0.36 * smallest
        singles = sum(not one['iscrowd'] for one in annotations)
        assert singles <= len(boxes)
        if singles == len(annotations):
            assert singles == len(boxes)
            assert Counter(name for _, name, _ in boxes) == Counter(
                toy.CLASSES[one['category_id'] - 1] for one in annotations)


def _area(corners):
    return cv2.contourArea(corners.astype(np.float32))


def _holds(corners, mask):
    """Whether every pixel's centre lies in the box, half a pixel aside allowed."""
    outline = corners.astype(np.float32)
    return all(
        cv2.pointPolygonTest(outline, (x + 0.5, y + 0.5), True) > -0.75
        for y, x in zip(*map(np.ndarray.tolist, np.nonzero(mask))))


def _cover(corners, mask):
    """How much of a box is mask."""
    outline = np.round(corners - 0.5).astype(np.int32)
    box = cv2.fillPoly(np.zeros(mask.shape, np.uint8), [outline], 1)
    return (box & mask).sum() / max(box.sum(), 1)


def test_dota_boxes_are_rectangles_inside_the_picture(toy_root, split):
    difficulties = set()
    for index in range(SPLITS[split][1]):
        for corners, name, difficult in quads(toy_root, split, index):
            assert name in toy.CLASSES
            difficulties.add(difficult)
            assert corners.min() >= 0 and corners.max() <= 128
            sides = np.roll(corners, -1, 0) - corners
            lengths = np.linalg.norm(sides, axis=1)
            assert np.allclose(lengths[:2], lengths[2:], atol=0.3)
            assert abs(sides[0] @ sides[1]) <= 0.15 * (lengths[0] + lengths[1]) + 0.1
            assert 0.25 < lengths[1] / lengths[0] < 1.3
    assert difficulties == {0, 1}


def test_captions_belong_to_their_pictures(toy_root, split, coco):
    captions = defaultdict(list)
    content = load(toy_root, 'captions', split)
    for one in content['annotations']:
        captions[one['image_id']].append(one['caption'])
    assert [one['id'] for one in content['images']] == sorted(coco.imgs)
    for image in coco.imgs:
        assert len(captions[image]) == 3
        present = {toy.CLASSES[one['category_id'] - 1] for one in coco.imgToAnns[image]}
        for caption in captions[image]:
            words = caption.lower().strip('.').replace(',', '').split()
            assert {name for name in toy.CLASSES if {name, f'{name}s'} & set(words)} == present


def test_imagenet_folders_are_balanced(toy_root, split):
    folders = sorted((toy_root / 'imagenet' / split).iterdir())
    assert [folder.name for folder in folders] == list(toy.CLASSES)
    counts = [len(list(folder.glob('*.png'))) for folder in folders]
    assert sum(counts) == SPLITS[split][1] and max(counts) - min(counts) <= 1
    assert read(next(folders[0].iterdir())).shape == (128, 128, 3)


def test_imagenet_boxes_are_around_the_objects(toy_root):
    boxes = json.loads((toy_root / 'imagenet/boxes_train.json').read_text())
    assert set(boxes) == {path.relative_to(toy_root / 'imagenet/train').as_posix()
                          for path in (toy_root / 'imagenet/train').rglob('*.png')}
    for [[left, top, right, bottom]] in boxes.values():
        assert 0 <= left < right <= 128 and 0 <= top < bottom <= 128
        assert max(right - left, bottom - top) > 128 * 40 / 100 / 1.5  # 40 to 75 % long, perhaps slanted


def test_splits_share_no_picture(toy_root):
    for folder in ('coco', 'imagenet'):
        train, val = ({path.read_bytes() for path in (toy_root / folder / split).rglob('*.png')}
                      for split in SPLITS)
        assert len(train) == NUM_TRAIN and len(val) == NUM_VAL and not train & val

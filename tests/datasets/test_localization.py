"""Images with a class and boxes."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from mmext import hosts
from mmext.errors import UserError
from mmext.registry import DATASETS, TRANSFORMS

NAMES = ('n01/a_1.png', 'n02/b_2.png')
BOXES = {'n01/a_1.png': [[2, 4, 10, 12]], 'n02/b_2.png': [[0, 0, 20, 16], [1, 2, 3, 4]]}
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(40, 32)),
            dict(type='CenterCrop', crop_size=24), dict(type='PackInputs', algorithm_keys=('gt_bboxes', ))]


@pytest.fixture(autouse=True)
def _scope():
    hosts.repair()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in NAMES:
        path = tmp_path / 'val' / name
        path.parent.mkdir(parents=True)
        Image.new('RGB', (20, 16)).save(path)
    (tmp_path / 'boxes.json').write_text(json.dumps(BOXES))
    (tmp_path / 'boxes.csv').write_text('ImageId,PredictionString\n' + ''.join(
        f'{Path(name).stem},' + ' '.join(f'n0 {" ".join(map(str, box))}' for box in boxes) + '\n'
        for name, boxes in BOXES.items()))
    (tmp_path / 'xml').mkdir()
    for name, boxes in BOXES.items():
        objects = ''.join(
            '<object><bndbox>' + ''.join(f'<{side}>{value}</{side}>' for side, value in zip(
                ('xmin', 'ymin', 'xmax', 'ymax'), box)) + '</bndbox></object>' for box in boxes)
        (tmp_path / 'xml' / f'{Path(name).stem}.xml').write_text(f'<annotation>{objects}</annotation>')
    return tmp_path


def build(root: Path, boxes: str, **settings):
    return DATASETS.build(dict(type='mmext.LocalizationDataset', data_root=str(root), data_prefix='val',
                               boxes=boxes, pipeline=PIPELINE, **settings))


@pytest.mark.parametrize('boxes', ['boxes.json', 'boxes.csv', 'xml'])
def test_all_forms_say_the_same(root: Path, boxes: str) -> None:
    dataset = build(root, boxes)
    for name, index in zip(NAMES, range(2), strict=True):
        info = dataset.get_data_info(index)
        assert info['gt_label'] == index
        np.testing.assert_array_equal(info['gt_bboxes'], BOXES[name])


def test_boxes_follow_the_image(root: Path) -> None:
    sample = build(root, 'boxes.json')[0]['data_samples']
    # twice as large, then 8 and 4 pixels cut off at the left and the top
    np.testing.assert_allclose(sample.gt_bboxes, [[0, 4, 12, 20]])


def test_lists_as_of_imagenet(root: Path) -> None:
    (root / 'val.txt').write_text(''.join(f'{name} {index}\n' for index, name in enumerate(NAMES)))
    assert len(build(root, 'xml', ann_file='val.txt')) == 2


def test_cub(tmp_path: Path) -> None:
    folder = tmp_path / 'images' / '001.Black_footed_Albatross'
    folder.mkdir(parents=True)
    Image.new('RGB', (20, 16)).save(folder / 'x_0001.jpg')
    Image.new('RGB', (20, 16)).save(folder / 'x_0002.jpg')
    (tmp_path / 'images.txt').write_text(''.join(
        f'{index} 001.Black_footed_Albatross/x_000{index}.jpg\n' for index in (1, 2)))
    (tmp_path / 'image_class_labels.txt').write_text('1 1\n2 1\n')
    (tmp_path / 'train_test_split.txt').write_text('1 1\n2 0\n')
    (tmp_path / 'bounding_boxes.txt').write_text('1 1.0 2.0 3.0 4.0\n2 5.0 6.0 7.0 8.0\n')
    cfg = dict(type='mmext.CUBLocalization', data_root=str(tmp_path), split='test', pipeline=PIPELINE)
    [info] = [DATASETS.build(cfg).get_data_info(index) for index in range(1)]
    np.testing.assert_array_equal(info['gt_bboxes'], [[5, 6, 12, 14]])
    (tmp_path / 'bounding_boxes.txt').write_text('1 1.0 2.0 3.0\n')
    with pytest.raises(UserError, match='bounding_boxes.txt, line 1: expected'):
        DATASETS.build(cfg)
    (tmp_path / 'bounding_boxes.txt').write_text('1 1.0 2.0 3.0 4.0\n')
    with pytest.raises(UserError, match="no box for the image '2'"):
        DATASETS.build(cfg)


@pytest.mark.parametrize(('name', 'content', 'message'), [
    ('boxes.json', '[1', 'boxes.json: expected a JSON object'),
    ('boxes.json', '[1]', 'boxes.json: expected a JSON object'),
    ('boxes.json', '{"n01/a_1.png": [[2, 4, 10, 12]]}', "no box for the image 'b_2'"),
    ('boxes.json', '{"n01/a_1.png": [[2, 4, 1, 12]], "n02/b_2.png": []}', "'a_1' are .* with x1 < x2"),
    ('boxes.csv', 'a,b\n1,2\n', 'ImageId and PredictionString'),
    ('xml/a_1.xml', '<annotation>', 'expected Pascal VOC XML'),
])
def test_bad_files(root: Path, name: str, content: str, message: str) -> None:
    (root / name).write_text(content)
    with pytest.raises(UserError, match=message):
        build(root, name.split('/')[0])


def test_missing_files_name_the_nearest(root: Path) -> None:
    with pytest.raises(UserError, match=r'did you mean boxes\.csv'):
        build(root, 'boxe.csv')
    with pytest.raises(UserError, match=r'neither a folder.*did you mean xml'):
        build(root, 'xmls')
    (root / 'xml' / 'a_1.xml').unlink()
    with pytest.raises(UserError, match=r'a_1\.xml: cannot read'):
        build(root, 'xml')


def test_route_is_kept() -> None:
    results = TRANSFORMS.build(dict(type='mmext.SetRoute', route=1))(dict(img=np.zeros((4, 4, 3), np.uint8)))
    packed = TRANSFORMS.build(dict(type='PackInputs', meta_keys=('route', )))(results)
    assert packed['data_samples'].route == 1
    for bad in (-2, 0.5, True, 'cls'):
        with pytest.raises(UserError, match='position of a teacher'):
            TRANSFORMS.build(dict(type='mmext.SetRoute', route=bad))

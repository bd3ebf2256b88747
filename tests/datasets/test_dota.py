"""DOTA label files as published."""
from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('mmrotate')

HEADER = 'imagesource:GoogleEarth\ngsd:0.25\n'
LABELS = {
    'P0009': f'{HEADER}1 2 30 2 30 12 1 12 ship 1\n',
    'P0002': f'{HEADER}5.0 5.0 9.5 5.0 9.5 9.0 5.0 9.0 plane 0\n1 1 4 1 4 4 1 4 ship 0\n',
    'P0005': HEADER,
    'P0001': '1 1 4 1 4 4 1 4 harbor 2\n',  # without a header, as after tiling
}


@pytest.fixture
def build(tmp_path):
    """``build(**options)``: the dataset on four images."""
    from mmrotate.registry import DATASETS
    for folder in ('labelTxt', 'images'):
        (tmp_path / folder).mkdir()
    for name, text in LABELS.items():
        (tmp_path / 'labelTxt' / f'{name}.txt').write_text(text)
        (tmp_path / 'images' / f'{name}.png').write_text('')

    def with_options(**options):
        return DATASETS.build({
            'type': 'mmext.RawDOTADataset', 'data_root': str(tmp_path), 'ann_file': 'labelTxt/',
            'data_prefix': dict(img_path='images/'), **options})

    return with_options


def test_headers_are_left_out_and_images_are_sorted(build, tmp_path):
    dataset = build(test_mode=True)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    assert [info['img_id'] for info in infos] == sorted(LABELS)
    assert [len(info['instances']) for info in infos] == [1, 2, 0, 1]
    plane, ship = infos[1]['instances']
    assert plane['bbox'] == [5.0, 5.0, 9.5, 5.0, 9.5, 9.0, 5.0, 9.0]
    assert (plane['bbox_label'], ship['bbox_label']) == (0, 6)
    assert infos[1]['img_path'] == str(tmp_path / 'images' / 'P0002.png')
    assert Path(dataset.ann_file) == tmp_path / 'labelTxt'


def test_host_options_still_work(build):
    dataset = build(diff_thr=0, filter_cfg=dict(filter_empty_gt=True))
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    assert [info['img_id'] for info in infos] == ['P0001', 'P0002', 'P0009']
    assert [info['instances'][0]['ignore_flag'] for info in infos] == [1, 0, 1]


def test_without_labels_all_images_are_listed_in_order(build):
    dataset = build(ann_file='', test_mode=True)
    assert [dataset.get_data_info(index)['img_id'] for index in range(4)] == sorted(LABELS)


def test_an_empty_folder_is_named(build, tmp_path):
    for path in (tmp_path / 'labelTxt').iterdir():
        path.unlink()
    with pytest.raises(ValueError, match='labelTxt'):
        build()

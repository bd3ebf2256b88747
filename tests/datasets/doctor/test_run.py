"""From config to reports: which datasets, the cache, the pictures, the table."""
from __future__ import annotations

import json
import os

import cv2
import numpy as np
import pytest

from mmext.datasets.doctor import DatasetReport, examine_config, headers
from mmext.datasets.doctor import scan as scan_module
from mmext.datasets.doctor.pictures import draw
from mmext.datasets.doctor.table import show

from .builders import ade, coco, dota, examined, folders, found, label_map, picture


def _broken(content):
    content['annotations'][0]['bbox'] = [30, 3, 20, 8]


@pytest.fixture
def opened(monkeypatch):
    """Paths of the images that are opened."""
    paths = []

    def read(path):
        paths.append(os.path.basename(path))
        return headers.read_header(path)

    monkeypatch.setattr(scan_module, 'read_header', read)
    return paths


# ---------------------------------------------------------------------------------------- cache


def test_unchanged_data_are_not_read_again(tmp_path, opened):
    dataset = coco(tmp_path, _broken)
    first = examined(dataset)
    assert sorted(opened) == ['1.png', '2.png', '3.png'] and not first.cached
    opened.clear()
    again = examined(dataset)
    assert again.cached and opened == []
    assert (again.findings, again.summary, again.images) == (first.findings, first.summary, first.images)


def test_only_what_changed_is_read_again(tmp_path, opened):
    dataset = coco(tmp_path)
    examined(dataset)
    opened.clear()
    picture(tmp_path / 'img/2.png', (41, 30))
    report = examined(dataset)
    assert opened == ['2.png'] and [one.kind for one in report.findings] == ['image-size']


@pytest.mark.parametrize('damage', [
    lambda root: (root / 'img/1.png').unlink(),
    lambda root: (root / 'a.json').write_text('{}'),
])
def test_damage_is_seen_behind_the_cache(tmp_path, damage):
    dataset = coco(tmp_path)
    assert found(dataset) == []
    damage(tmp_path)
    assert found(dataset) != []


@pytest.mark.parametrize('make, change', [
    (lambda root: dota(root, '10 10 40 10 40 30 10 30 ship 0\n50 50 70 55 68 80 48 75 plane 1\n'),
     lambda root: picture(root / 'images/P2.png')),
    (lambda root: ade(root, (0, 1, 2)), lambda root: label_map(root / 'labels/a.png', (0, 9))),
    (lambda root: ade(root, (0, 1, 2)), lambda root: picture(root / 'images/new.jpg')),
    (folders, lambda root: (root / 'cat/notes.txt').touch()),
])
def test_new_and_changed_files_are_seen_behind_the_cache(tmp_path, make, change):
    dataset = make(tmp_path)
    assert found(dataset) == [] and examined(dataset).cached
    change(tmp_path)
    assert found(dataset) != []


def test_other_settings_other_results(tmp_path):
    assert found(coco(tmp_path)) == []
    assert found(coco(tmp_path, metainfo=dict(classes=('cat', 'dig'))))


@pytest.mark.parametrize('content', ['', 'no JSON', '[]', '{"stamps": {}, "facts": {}, "result": 1}'])
def test_a_broken_cache_is_none(tmp_path, own_cache, content):
    dataset = coco(tmp_path)
    examined(dataset)
    for file in own_cache.rglob('*.json'):
        file.write_text(content)
    report = examined(dataset)
    assert not report.cached and report.findings == []


def test_a_cache_that_cannot_be_written_is_none(tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    dataset = coco(tmp_path)
    assert found(dataset) == [] and not examined(dataset).cached


# -------------------------------------------------------------------------------------- configs


def test_wrappers_are_looked_through_and_shared_datasets_examined_once(tmp_path):
    one, other = coco(tmp_path / 'a'), coco(tmp_path / 'b')
    cfg = dict(
        train_dataloader=dict(dataset=dict(type='RepeatDataset', times=2, dataset=one)),
        val_dataloader=dict(dataset=other), test_dataloader=dict(dataset=other))
    assert [report.path for report in examine_config(cfg)] == [
        'train_dataloader.dataset.dataset', 'val_dataloader.dataset']


def test_validation_on_training_images(tmp_path):
    cfg = dict(train_dataloader=dict(dataset=coco(tmp_path)), val_dataloader=dict(dataset=coco(tmp_path)))
    train, val = examine_config(cfg)
    assert train.findings == []
    assert [str(one) for one in val.findings] == [
        "3 of 3 images also in the training data: '1.png', '2.png', '3.png'; its results will be too good"]


@pytest.mark.parametrize('change, note', [
    (dict(type='mmdet.VOCDataset'), 'no checks for this kind'),
    (dict(backend_args=dict(backend='petrel')), 'its files are not on this machine'),
])
def test_what_cannot_be_looked_at_is_said(tmp_path, change, note):
    report = examined({**coco(tmp_path), **change})
    assert report.findings == [] and report.headline().endswith(f': {note}')


def test_a_dataset_that_cannot_be_built(tmp_path):
    dataset = dict(ade(tmp_path, (0, 1, 2)), type='mmseg.ADE20KDataset')
    assert [(severity, text[:40]) for severity, text in found(dataset)] == [
        ('error', 'cannot be built: ValueError: new classes')]


# ----------------------------------------------------------------------------- pictures and table


def test_pictures_of_what_is_wrong(tmp_path):
    report = examined(coco(tmp_path, _broken))
    [file] = draw([report], str(tmp_path / 'out'))
    assert os.path.basename(file) == 'train_box-outside_1.png'
    drawn = cv2.imread(file)
    assert drawn is not None and drawn.shape == (30 + 80, 40 + 80, 3)
    red = np.all(drawn == (40, 40, 230), axis=2)
    assert red[43:51, 40 + 48:40 + 52].any(), 'the edge outside the image is drawn in the margin'


def test_pictures_of_label_maps_and_of_unreadable_images(tmp_path):
    report = examined(ade(tmp_path, (0, 9)))
    assert len(draw([report], str(tmp_path / 'out'))) == 2
    (tmp_path / 'labels/a.png').write_bytes(b'no image')
    assert len(draw([report], str(tmp_path / 'out'))) == 1


def test_table_worst_first(tmp_path, capsys):
    def change(content):
        _broken(content)
        content['annotations'][1]['category_id'] = 9
    show([examined(coco(tmp_path, change))])
    out = capsys.readouterr().out
    assert out.splitlines()[0].endswith('3 images, 6 boxes, 2 classes')
    assert out.index('error') < out.index('warning')
    assert 'reaching outside the image' in out and '1.png, annotation 10' in out


def test_nothing_wrong_no_table(tmp_path, capsys):
    show([examined(coco(tmp_path))])
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_report_as_json(tmp_path):
    report = examined(coco(tmp_path, _broken))
    raw = json.loads(json.dumps(report.to_dict()))
    assert raw['findings'][0]['kind'] == 'box-outside'
    assert raw['findings'][0]['examples'][0]['polygons'] == [[30, 3, 50, 3, 50, 11, 30, 11]]


def test_worst_first_each_once():
    from mmext.datasets.doctor import Finding
    report = DatasetReport('p', 'n')
    for one in (Finding('a', 'rare', 'warning'), Finding('b', 'often', 'warning', 9), Finding('c', 'bad')):
        report.add([one, one])
    assert [finding.kind for finding in report.findings] == ['c', 'b', 'a']

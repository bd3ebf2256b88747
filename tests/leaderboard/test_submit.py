"""Archives for the evaluation servers."""
from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmext.errors import UserError
from mmext.evaluation.rotated.files import write_task1
from mmext.evaluation.rotated.matching import Found
from mmext.leaderboard.submit import DOTA_CLASSES, SERVERS, write_submission

COCO_ROW = dict(image_id=7, category_id=90, bbox=[1., 2., 3., 4.], score=0.123456789)


def _coco(folder: Path, rows: object = None) -> tuple[Path, Path]:
    results, images = folder / 'r.bbox.json', folder / 'image_info_test-dev2017.json'
    results.write_text(json.dumps([COCO_ROW] if rows is None else rows))
    images.write_text(json.dumps(dict(images=[dict(id=7), dict(id=8)],
                                      categories=[dict(id=1, name='cup'), dict(id=90, name='brush')])))
    return results, images


def _images(folder: Path, *names: str, size: tuple[int, int] = (6, 4)) -> Path:
    folder.mkdir()
    for name in names:
        Image.new('RGB', size).save(folder / name)
    return folder


def _dota(folder: Path) -> tuple[Path, Path]:
    """As mmext.DOTAMetric writes it."""
    found = Found(np.array([0, 1]), np.array([0, 14]),
                  np.float32([[50, 50, 20, 10, 0.3], [9, 9, 4, 2, 0]]), np.float32([0.12345678, 0.5]))
    write_task1(folder / 'task1', ['P0006', 'P0009'], found, DOTA_CLASSES)
    return folder / 'task1', _images(folder / 'images', 'P0006.png', 'P0009.png', 'P0010.png')


def _ade(folder: Path, values: tuple[int, int] = (1, 150)) -> tuple[Path, Path]:
    images = _images(folder / 'images', 'ADE_test_00000001.jpg', 'ADE_test_00000002.jpg')
    results = folder / 'maps'
    results.mkdir()
    for file in images.iterdir():
        labels = np.full((4, 6), values[0], np.uint8)
        labels[0] = values[1]
        Image.fromarray(labels).save(results / f'{file.stem}.png')
    return results, images


def test_coco_is_one_file_of_the_archives_name(tmp_path):
    results, images = _coco(tmp_path)
    archive, lines = write_submission('coco-test-dev', results, images, tmp_path / 'out', 'my run/1')
    assert archive.name == 'detections_test-dev2017_my-run-1_results.zip'
    with zipfile.ZipFile(archive) as content:
        assert content.namelist() == ['detections_test-dev2017_my-run-1_results.json']
        assert content.read(content.namelist()[0]) == results.read_bytes(), 'as the metric wrote it'
    assert lines == ['1 detections in 1 of 2 images', '1 images have no detection']


def test_dota_keeps_every_digit(tmp_path):
    results, images = _dota(tmp_path)
    archive, lines = write_submission('dota-task1', results, images, tmp_path / 'out', 'r')
    with zipfile.ZipFile(archive) as content:
        assert sorted(content.namelist()) == sorted(f'Task1_{name}.txt' for name in DOTA_CLASSES)
        assert content.read('Task1_plane.txt').startswith(b'P0006 0.12345678 ')
        assert content.read('Task1_ship.txt') == b''
    assert lines == ['2 detections of 15 classes in 2 of 3 images']
    again, _ = write_submission('dota-task1', results / 'task1.zip', images, tmp_path / 'other', 'r')
    assert again.read_bytes() == archive.read_bytes(), 'from the archive as from the folder'


def test_dota_scores_of_two_decimals_are_remarked(tmp_path):
    results, images = _dota(tmp_path)
    for file in results.glob('*.txt'):
        file.write_text(file.read_text().replace('0.12345678', '0.12'))
    assert 'two decimals' in write_submission('dota-task1', results, images, tmp_path / 'out', 'r')[1][-1]


def test_ade_is_the_label_maps(tmp_path):
    results, images = _ade(tmp_path)
    archive, lines = write_submission('ade20k', results, images, tmp_path / 'out', 'r')
    with zipfile.ZipFile(archive) as content:
        assert content.namelist() == ['ADE_test_00000001.png', 'ADE_test_00000002.png']
        assert content.read(content.namelist()[0]) == (results / content.namelist()[0]).read_bytes()
    assert lines == ['label maps of 2 images']


# ---------------------------------------------------------------------------------------- refused


def _changed(**changes: object) -> list[dict]:
    return [COCO_ROW, COCO_ROW | changes]


@pytest.mark.parametrize('rows, message', [
    (_changed(image_id=9), "1 of 2 images that .* does not have, for example '9'"),
    (_changed(category_id=91), 'detection 2: category 91 is none of the 2'),
    (_changed(score=float('nan')), 'detection 2: score or box is not a finite number'),
    (_changed(bbox=[0, 0, float('inf'), 1]), 'not a finite number'),
    ([dict(image_id=7)], "detection 1: expected 'image_id'"), ([], 'not empty'),
    ({}, 'a list of detections')])
def test_coco_of_other_images_or_classes(tmp_path, rows, message):
    _refused(tmp_path, 'coco-test-dev', *_coco(tmp_path, rows), message)


def _refused(folder: Path, server: str, results: Path, images: Path | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_submission(server, results, images, folder / 'out', 'r')
    assert not (folder / 'out').exists() or not list((folder / 'out').iterdir())


def _rename(old: str, new: str) -> Callable[[Path, Path], object]:
    return lambda results, images: (results / old).rename(results / new)


def _write(name: str, text: str) -> Callable[[Path, Path], object]:
    return lambda results, images: (results / name).write_text(text)


@pytest.mark.parametrize('change, message', [
    (_rename('Task1_plane.txt', 'Task1_plan.txt'), "'Task1_plan.txt' is not.*did you mean plane"),
    (lambda results, images: (results / 'Task1_ship.txt').unlink(), 'no file of 1 classes .ship'),
    (_write('Task1_ship.txt', 'P0007 0.5 0 0 1 0 1 1 0 1\n'), "1 of 3 images.*'P0007'; did you mean P00"),
    (_write('Task1_ship.txt', 'P0006 1.5 0 0 1 0 1 1 0 1\n'), 'Task1_ship.txt, line 1: the score must be'),
    (_write('Task1_ship.txt', 'P0006 nan 0 0 1 0 1 1 0 1\n'), 'the score must be'),
    (_write('Task1_ship.txt', '\nP0006 0.5 0\n'), 'line 1: expected image, score and eight')])
def test_dota_of_other_images_or_classes(tmp_path, change, message):
    results, images = _dota(tmp_path)
    change(results, images)
    _refused(tmp_path, 'dota-task1', results, images, message)


def test_dota_without_a_detection(tmp_path):
    results, images = _dota(tmp_path)
    for file in results.glob('*.txt'):
        file.write_text('')
    _refused(tmp_path, 'dota-task1', results, images, 'not one detection')


@pytest.mark.parametrize('values, change, message', [
    ((0, 149), None, 'labels from 0 to 149, the server expects 1 to 150; were the labels written without'),
    ((1, 151), None, 'labels from 1 to 151'),
    ((1, 2), _rename('ADE_test_00000001.png', 'ADE_val_00000001.png'), '1 of 2 images that'),
    ((1, 2), lambda results, images: (results / 'ADE_test_00000002.png').unlink(), 'no label map of 1 of 2'),
    ((1, 2), _write('ADE_test_00000002.png', 'text'), 'cannot be read'),
    ((1, 2), lambda results, images: Image.new('L', (9, 9), 3).save(results / 'ADE_test_00000002.png'),
     'has 9 x 9 pixels, the image 6 x 4'),
    ((1, 2), lambda results, images: Image.new('RGB', (6, 4)).save(results / 'ADE_test_00000002.png'),
     'one channel of 8 bits, not RGB')])
def test_ade_of_other_images_or_labels(tmp_path, values, change, message):
    results, images = _ade(tmp_path, values)
    if change:
        change(results, images)
    _refused(tmp_path, 'ade20k', results, images, message)


@pytest.mark.parametrize('server', SERVERS)
def test_what_is_missing_is_named(tmp_path, server):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'text').write_text('text')
    _refused(tmp_path, server, tmp_path / 'missing', None, '--results: there is no .*mmext')
    _refused(tmp_path, server, tmp_path / 'text', None, f'--images: {server} needs')
    _refused(tmp_path, server, tmp_path / 'text', tmp_path / 'missing', '--images: there is no')
    _refused(tmp_path, server, tmp_path / 'text', tmp_path / 'empty', '--results|--images')


def test_an_archive_is_never_overwritten(tmp_path):
    results, images = _coco(tmp_path)
    archive, _ = write_submission('coco-test-dev', results, images, tmp_path / 'out', 'r')
    before = archive.read_bytes()
    with pytest.raises(UserError, match='is there already'):
        write_submission('coco-test-dev', results, images, tmp_path / 'out', 'r')
    assert archive.read_bytes() == before

"""DOTA: fields, classes, corners, headers."""
from __future__ import annotations

import pytest

from .builders import dota, found, picture

SHIP = '10 10 40 10 40 30 10 30 ship 0\n'
PLANE = '50 50 70 55 68 80 48 75 plane 1\n'
GOOD = SHIP + PLANE
L1, L3 = '(ROOT/labels/P1.txt, line 1)', '(ROOT/labels/P1.txt, line 3)'

CASES = {
    'fields': ('10 10 40 10 40 30 10 30 ship\n', 'error',
               f'1 line without the ten fields x1 y1 x2 y2 x3 y3 x4 y4 class difficulty {L3}'),
    'word for a number': ('10 10 40 ten 40 30 10 30 ship 0\n', 'error',
                          f'1 line with a corner that is not a number {L3}'),
    'NaN': ('10 10 40 nan 40 30 10 30 ship 0\n', 'error',
            f'1 line with a corner that is NaN or infinite {L3}'),
    'difficulty': ('10 10 40 10 40 30 10 30 ship hard\n', 'error',
                   f'1 line whose difficulty is not a whole number {L3}'),
    'class': ('10 10 40 10 40 30 10 30 Ship 0\n', 'error',
              f"1 object of class 'Ship', which the metainfo does not have {L3}, did you mean 'ship'?"),
    'degrees': ('25 20 30 20 45 ship\n', 'error',
                '1 line of the form x y width height angle (angles up to 45, so in degrees); DOTA has '
                f'eight corners {L3}, write the four corners'),
    'radians': ('25 20 30 20 -1.5 ship\n', 'error',
                '1 line of the form x y width height angle (angles up to 1.5, so in radians); DOTA has '
                f'eight corners {L3}, write the four corners'),
    'one point twice': ('10 10 10 10 40 30 10 30 ship 0\n', 'warning',
                        '1 of 3 quadrilaterals degenerate: corners that coincide or lie on one line '
                        f'{L3}'),
    'a line': ('10 10 20 20 30 30 40 40 ship 0\n', 'warning',
               f'1 of 3 quadrilaterals degenerate: corners that coincide or lie on one line {L3}'),
    'bow tie': ('10 10 40 30 40 10 10 30 ship 0\n', 'warning',
                '1 of 3 quadrilaterals crossing themselves: their corners are not in order round the '
                f'object {L3}'),
    'away': ('110 10 140 10 140 30 110 30 ship 0\n', 'warning',
             f'1 of 3 quadrilaterals wholly outside the image {L3}'),
    'outside': ('80 10 140 10 140 30 80 30 ship 0\n', 'warning',
                f'1 of 3 quadrilaterals reaching far outside the image {L3}'),
    'blank line': ('\n' + SHIP, 'error', f'1 line blank, which the host does not read {L3}, remove them'),
}


@pytest.mark.parametrize('case', CASES)
def test_found(tmp_path, case):
    line, severity, text = CASES[case]
    assert found(dota(tmp_path, GOOD + line)) == [(severity, text)]


def test_nothing_in_whole_data(tmp_path):
    assert found(dota(tmp_path, GOOD)) == []


def test_header_lines(tmp_path):
    published = dota(tmp_path, 'imagesource:GoogleEarth\ngsd:0.14\n' + GOOD)
    assert found(published) == [(
        'error', '1 label file with header lines (imagesource, gsd), which mmrotate.DOTADataset does not '
        "read (ROOT/labels/P1.txt), write type='mmext.RawDOTADataset', or cut the data with mmrotate's "
        'img_split.py')]
    assert found({**published, 'type': 'mmext.RawDOTADataset'}) == []


def test_images_and_label_files_that_do_not_meet(tmp_path):
    dataset = dota(tmp_path, GOOD)
    picture(tmp_path / 'images/P2.png')
    (tmp_path / 'labels/P3.txt').write_text(SHIP)
    assert found(dataset) == [
        ('error', "1 of 2 images not there (ROOT/images/P3.png), did you mean 'P2.png'?"),
        ('warning', "1 image of 'ROOT/images' without a label file, not used: 'P2.png'")]


def test_no_objects_and_no_files(tmp_path):
    assert ('error', 'the label files have no objects: there is nothing to learn') in \
        found(dota(tmp_path, ''))
    (tmp_path / 'labels/P1.txt').unlink()
    dataset = dict(dota(tmp_path, GOOD), ann_file='images')
    assert found(dataset) == [('error', "the folder 'ROOT/images' has no label files (.txt)")]


def test_test_images_without_labels(tmp_path):
    dataset = dict(dota(tmp_path, GOOD), ann_file='')
    assert found(dataset, 'test') == []
    assert found(dataset) == [('error', 'has no ann_file: there is nothing to learn')]

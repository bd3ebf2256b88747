"""DIOR-R and FAIR1M: labels as DOTA's files, configs that read what the tools write."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from mmext.datasets.oriented_xml import DIOR_CLASSES, FAIR1M_CLASSES, convert_labels
from mmext.errors import UserError

pytest.importorskip('mmrotate')

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'dataset_converters' / 'oriented_xml_to_dota.py'
CORNERS = ('left_top', 'right_top', 'right_bottom', 'left_bottom')
BOX = (10., 12., 40.5, 12., 40.5, 30., 10., 30.)


def dior(name='Expressway-Service-area', box=BOX):
    """A DIOR-R object."""
    values = ''.join(f'<{axis}_{corner}>{box[2 * i + j]}</{axis}_{corner}>'
                     for i, corner in enumerate(CORNERS) for j, axis in enumerate('xy'))
    return f'<object><name>{name}</name><difficult>0</difficult><robndbox>{values}</robndbox></object>'


def fair1m(name='Dry Cargo Ship', box=BOX):
    """A FAIR1M object: five points, the last the first."""
    points = ''.join(f'<point>{box[i]},{box[i + 1]}</point>' for i in (0, 2, 4, 6, 0))
    return (f'<object><points>{points}</points><possibleresult><name>{name}</name></possibleresult></object>')


def write(folder, **files):
    """XML files with the given objects."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, objects in files.items():
        (folder / f'{name}.xml').write_text(
            '<annotation><size><width>64</width><height>64</height></size>'
            f'<objects>{objects}</objects></annotation>')
    return folder


@pytest.mark.parametrize(('form', 'text', 'expected'), [
    ('dior-r', dior(), 'expressway-service-area'), ('fair1m', fair1m(), 'Dry-Cargo-Ship'),
    ('fair1m', fair1m('other-ship'), 'other-ship')])
def test_objects_become_lines(tmp_path, form, text, expected):
    source = write(tmp_path / 'xml', one=text * 2, two='')
    assert convert_labels(form, source, tmp_path / 'txt') == {expected: 2}
    assert (tmp_path / 'txt' / 'one.txt').read_text() == f'10 12 40.5 12 40.5 30 10 30 {expected} 0\n' * 2
    assert (tmp_path / 'txt' / 'two.txt').read_text() == ''


def test_only_the_images_of_a_split(tmp_path):
    source = write(tmp_path / 'xml', one=dior(), two=dior('ship'))
    assert convert_labels('dior-r', source, tmp_path / 'txt', ['two']) == {'ship': 1}
    assert [path.name for path in (tmp_path / 'txt').iterdir()] == ['two.txt']


@pytest.mark.parametrize(('form', 'text', 'message'), [
    ('dior-r', dior('shipp'), r"one\.xml.*'shipp'.*did you mean ship"),
    ('fair1m', fair1m('Boeing 7377'), 'Boeing 7377'),
    ('dior-r', '<object><name>ship</name></object>', 'no robndbox/x_left_top'),
    ('dior-r', dior(box=('a', *BOX[1:])), "'a', expected a number"),
    ('fair1m', '<object><points><point>1,2</point></points></object>', '1 points'),
    ('fair1m', fair1m().replace('40.5,12.0', '40.5;12.0'), 'expected x,y'),
    ('fair1m', '<object>', 'no XML'),
    ('dior', dior(), 'did you mean dior-r')])
def test_what_cannot_be_read_is_named_and_nothing_is_written(tmp_path, form, text, message):
    source = write(tmp_path / 'xml', one=text, two=dior() if form.startswith('dior') else fair1m())
    with pytest.raises(UserError, match=message):
        convert_labels(form, source, tmp_path / 'txt')
    assert not (tmp_path / 'txt').exists()


def test_folders_and_splits_are_checked(tmp_path):
    (tmp_path / 'empty').mkdir()
    for source, message in ((tmp_path / 'none', 'is not a folder'), (tmp_path / 'empty', 'no .*xml')):
        with pytest.raises(UserError, match=message):
            convert_labels('fair1m', source, tmp_path / 'txt')
    with pytest.raises(UserError, match='lacks the labels of 1 images.*lost.xml'):
        convert_labels('fair1m', write(tmp_path / 'xml', one=''), tmp_path / 'txt', ['one', 'lost'])


def test_the_tool(tmp_path):
    source = write(tmp_path / 'xml', one=fair1m())
    command = [sys.executable, str(TOOL), 'fair1m', str(source), str(tmp_path / 'txt')]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0 and '1 objects of 1 classes' in done.stdout, done.stderr
    done = subprocess.run([*command, '--split', 'none.txt'], capture_output=True, text=True, check=False,
                          cwd=ROOT)
    assert done.returncode == 2 and 'none.txt: no such file' in done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize(('form', 'base', 'make', 'classes', 'suffix', 'folders'), [
    ('fair1m', 'fair1m', fair1m, FAIR1M_CLASSES, 'png', (
        ('train/annfiles', 'train/images'), ('val/annfiles', 'val/images'))),
    ('dior-r', 'dior_r', dior, DIOR_CLASSES, 'jpg', (
        ('labelTxt-trainval', 'JPEGImages-trainval'), ('labelTxt-test', 'JPEGImages-test')))])
def test_configs_read_what_the_tool_writes(tmp_path, form, base, make, classes, suffix, folders):
    cfg = Config.fromfile(ROOT / 'configs' / '_base_' / 'datasets' / f'{base}.py')
    assert tuple(cfg.metainfo.classes) == classes and len(cfg.metainfo.palette) == len(classes)
    source = write(tmp_path / 'xml', one=make(classes[12].replace('-', ' ')))
    for (labels, images), part in zip(folders, (cfg.train_dataloader, cfg.test_dataloader)):
        convert_labels(form, source, tmp_path / labels)
        (tmp_path / images).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / images / f'one.{suffix}'), np.zeros((64, 64, 3), np.uint8))
        part.dataset.data_root = f'{tmp_path}/'
        with DefaultScope.overwrite_default_scope('mmrotate'):
            gt = DATASETS.build(part.dataset)[0]['data_samples'].gt_instances
        assert gt.labels.tolist() == [12]

"""ADE20K and its kind: labels against classes and ``reduce_zero_label``."""
from __future__ import annotations

import pytest
from PIL import Image

from .builders import ade, examined, found, label_map, picture

MAPS = '(ROOT/labels/a.png; ROOT/labels/b.png)'


@pytest.mark.parametrize('values, reduce, expected', [
    ((0, 1, 2, 255), False, []),
    ((0, 1, 2, 3), True, []),
    ((0, 1, 2, 3), False, [
        ('error', f'labels 3 are none of the 3 classes (0 to 2 with reduce_zero_label=False) {MAPS}, set '
         'reduce_zero_label=True, if 0 means unlabelled')]),
    ((1, 2, 3), False, [
        ('error', f'labels 3 are none of the 3 classes (0 to 2 with reduce_zero_label=False) {MAPS}, '
         'labels have to start at 0, or set reduce_zero_label=True'),
        ('warning', "1 class without a pixel in 2 label maps: 'c0'")]),
    ((0, 1, 2), True, [
        ('warning', '0 (33% of the pixels) is ignored and 3 never occurs: the labels look as if they '
         'start at 0, set reduce_zero_label=False, if 0 is a class'),
        ('warning', "1 class without a pixel in 2 label maps: 'c2'")]),
    ((0, 1, 2, 7, 9), False, [
        ('error', f'labels 7, 9 are none of the 3 classes (0 to 2 with reduce_zero_label=False) {MAPS}')]),
    ((0, 2), False, [('warning', "1 class without a pixel in 2 label maps: 'c1'")]),
    ((255, ), False, [
        ('error', 'every pixel is ignored: with reduce_zero_label=False there is nothing to learn')]),
])
def test_labels(tmp_path, values, reduce, expected):
    assert found(ade(tmp_path, values, reduce_zero_label=reduce)) == expected


def test_palette_images_are_read_as_the_host_reads_them(tmp_path):
    dataset = ade(tmp_path, (0, 1, 2))
    for name in ('a', 'b'):
        path = tmp_path / f'labels/{name}.png'
        indexed = Image.open(path).convert('L')
        indexed = indexed.point(lambda value: value).convert('P')
        indexed.putpalette([10, 200, 30] * 256)
        indexed.save(path)
    assert [text for severity, text in found(dataset) if severity == 'error'] == []


def test_colours_sizes_and_missing_maps(tmp_path):
    dataset = ade(tmp_path, (0, 1, 2))
    picture(tmp_path / 'labels/a.png')
    assert ('error', '1 of 2 label maps in colours, not one label per pixel (ROOT/labels/a.png), convert '
            'them to one channel of class numbers') in found(dataset)
    label_map(tmp_path / 'labels/a.png', (0, 1, 2), (20, 30))
    assert found(dataset) == [('error', '1 of 2 label maps of another size than the image '
                               '(ROOT/labels/a.png is 20 x 30, its image 40 x 30)')]
    (tmp_path / 'labels/a.png').unlink()
    assert found(dataset) == [('error', '1 of 2 label maps not there (ROOT/labels/a.png)')]


def test_other_ending(tmp_path):
    assert found(ade(tmp_path, (0, 1, 2), img_suffix='.tif')) == [
        ('error', "there are no images '*.tif' in 'ROOT/images', set img_suffix='.jpg'")]


def test_two_settings_of_reduce_zero_label(tmp_path):
    pipeline = [dict(type='mmseg.LoadAnnotations', reduce_zero_label=True)]
    assert ('error', 'LoadAnnotations has reduce_zero_label=True, the dataset False; the host refuses '
            'that, set it on the dataset only') in found(ade(tmp_path, (0, 1, 2), pipeline=pipeline))


def test_a_sample_of_many_maps_or_all_of_them(tmp_path, monkeypatch):
    from mmext.datasets.doctor import segmentation
    monkeypatch.setattr(segmentation, 'SAMPLE', 2)
    dataset = ade(tmp_path, (0, 1, 2))
    for name in 'cdef':
        picture(tmp_path / f'images/{name}.jpg')
        label_map(tmp_path / f'labels/{name}.png', (0, 1, 2))
    label_map(tmp_path / 'labels/f.png', (0, 9))
    assert examined(dataset).summary == {'images': 6, 'label maps': 6, 'decoded': 2}
    assert found(dataset) == []
    assert [severity for severity, _ in found(dataset, full=True)] == ['error']

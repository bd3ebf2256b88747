"""COCO: every fault is found once, with these words; whole data give nothing."""
from __future__ import annotations

import pytest

from .builders import coco, examined, found, picture


def _annotation(**values):
    def change(content):
        content['annotations'][0].update(values)
    return change


def _each(key, **values):
    def change(content):
        for record in content[key]:
            record.update(values)
    return change


def _without(key, name):
    def change(content):
        del content[key][0][name]
    return change


CASES = {
    'NaN': (_annotation(bbox=[2, 3, float('nan'), 8]),
            'error', '1 of 6 boxes NaN or infinite (1.png, annotation 10)'),
    'zero size': (_annotation(bbox=[2, 3, 0, 8]), 'warning',
                  '1 of 6 boxes of zero or negative size; the host drops them (1.png, annotation 10)'),
    'negative size': (_annotation(bbox=[12, 3, -10, 8]), 'warning',
                      '1 of 6 boxes of zero or negative size; the host drops them '
                      '(1.png, annotation 10)'),
    'outside': (_annotation(bbox=[30, 3, 20, 8]), 'warning',
                '1 of 6 boxes reaching outside the image (1.png, annotation 10)'),
    'away': (_annotation(bbox=[50, 3, 20, 8]), 'warning',
             '1 of 6 boxes wholly outside the image; the host drops them (1.png, annotation 10)'),
    'corners': (_each('annotations', bbox=[20, 15, 35, 28]), 'error',
                '6 of 6 boxes reaching outside the image (1.png, annotation 10; 1.png, annotation 11; '
                '2.png, annotation 20, ...), are they x1, y1, x2, y2? COCO has x, y, width, height'),
    'three numbers': (_annotation(bbox=[1, 2, 3]), 'error',
                      '1 of 6 bboxes not four numbers (x, y, width, height) (1.png, annotation 10)'),
    'area in words': (_annotation(area='large'), 'error',
                      '1 of 6 areas not a number (1.png, annotation 10)'),
    'no area': (_without('annotations', 'area'), 'error',
                "1 entry of annotations has no 'area' (annotations[0])"),
    'no file name': (_without('images', 'file_name'), 'error',
                     "1 entry of images has no 'file_name' (images[0])"),
    'no width': (lambda content: content['images'][0].update(width=0), 'error',
                 "1 entry of images has no usable 'width' (images[0])"),
    'no object': (lambda content: content['annotations'].append(3), 'error',
                  '1 entry of annotations is no object'),
    'same annotation id': (_annotation(id=11), 'error',
                           '1 id of annotations used more than once: 11; the later entry hides the '
                           'earlier, give every entry an id of its own'),
    'same image id': (lambda content: content['images'].append(content['images'][0]), 'error',
                      '1 id of images used more than once: 1; the later entry hides the earlier, give '
                      'every entry an id of its own'),
    'unknown category': (_annotation(category_id=9), 'error',
                         '1 annotation of a category_id that categories do not have: 9'),
    'unknown image': (_annotation(image_id=9), 'warning',
                      '1 annotation of an image_id that images do not have: 9'),
    'misspelt class': (lambda content: content['categories'][0].update(name='cta'), 'error',
                       "class 'cat' of the metainfo is not a category of the file, did you mean 'cta'?"),
    'class not asked for': (
        lambda content: (content['categories'].append(dict(id=8, name='owl')),
                         content['annotations'][0].update(category_id=8)), 'warning',
        "1 category of the file not in the metainfo: 'owl'; their 1 annotation is ignored"),
    'same name': (lambda content: content['categories'].append(dict(id=8, name='cat')), 'error',
                  "1 category name used more than once: 'cat'"),
    'order of classes': (lambda content: content['categories'].reverse(), 'warning',
                         "the file's categories come in another order than the metainfo's classes: "
                         "label 0 is 'dog' in the file and will be called 'cat', write the metainfo's "
                         "classes in the file's order"),
    'empty class': (_each('annotations', category_id=5), 'warning',
                    "1 class without one annotation: 'dog'"),
    'no annotations': (lambda content: content['annotations'].clear(), 'error',
                       'the file has no annotations: there is nothing to learn'),
    'no list': (lambda content: content.pop('annotations'), 'error',
                "'ROOT/a.json' has no list 'annotations', expected the keys images, annotations and "
                'categories'),
    'bare images': (lambda content: content['annotations'].__delitem__(slice(2, None)), 'warning',
                    '2 of 3 images have no annotation'),
    'two points': (_annotation(segmentation=[[1, 2, 3, 4]]), 'warning',
                   '1 of 6 annotations with a polygon of fewer than three points, or of an odd number of '
                   'values; the host drops them (1.png, annotation 10)'),
    'polygon of words': (_annotation(segmentation=[['a'] * 6]), 'error',
                         '1 of 6 annotations with a polygon that holds something else than finite '
                         'numbers (1.png, annotation 10)'),
    'no segmentation': (_annotation(segmentation=[]), 'warning',
                        '1 of 6 annotations without a segmentation, while the pipeline loads masks; they '
                        'are ignored (1.png, annotation 10)'),
    'mask of another size': (_annotation(segmentation=dict(size=[10, 10], counts=[100])), 'error',
                             '1 of 6 annotations with a mask of another size than the image '
                             '(1.png, annotation 10)'),
    'strange segmentation': (_annotation(segmentation='polygon'), 'error',
                             '1 of 6 annotations whose segmentation is neither polygons nor a run-length '
                             'mask (1.png, annotation 10)'),
    'size stated wrongly': (lambda content: content['images'][0].update(width=41), 'error',
                            '1 of 3 images of another size than stated (ROOT/img/1.png is 40 x 30, '
                            'stated 41 x 30)'),
    'image missing': (lambda content: content['images'][0].update(file_name='11.png'), 'error',
                      "1 of 3 images not there (ROOT/img/11.png), did you mean '1.png'?"),
}


@pytest.mark.parametrize('case', CASES)
def test_found(tmp_path, case):
    change, severity, text = CASES[case]
    assert (severity, text) in found(coco(tmp_path, change))


def test_nothing_in_whole_data(tmp_path):
    report = examined(coco(tmp_path))
    assert report.findings == []
    assert report.headline() == \
        'train_dataloader.dataset (CocoDataset): 3 images, 6 boxes, 2 classes'


def test_masks_only_where_the_pipeline_loads_them(tmp_path):
    broken = coco(tmp_path, _annotation(segmentation=[[1, 2]]), pipeline=[])
    assert found(broken) == []


def test_test_data_need_no_annotations(tmp_path):
    dataset = coco(tmp_path, lambda content: content.pop('annotations'))
    assert found(dataset, 'test') == []
    assert [severity for severity, _ in found(dataset, 'val')] == ['error']


@pytest.mark.parametrize('text, expected', [
    ('{"images": [', "'ROOT/a.json' is not JSON: "),
    ('[1]', "'ROOT/a.json' holds a list, not an object, expected the keys images, annotations and "),
    (None, "the annotation file 'ROOT/a.json' does not exist"),
])
def test_no_annotation_file(tmp_path, text, expected):
    dataset = coco(tmp_path)
    file = tmp_path / 'a.json'
    file.unlink() if text is None else file.write_text(text)
    assert [(severity, message.startswith(expected)) for severity, message in found(dataset)] == \
        [('error', True)]


def test_turned_by_exif(tmp_path):
    from PIL import Image
    exif = Image.Exif()
    exif[274] = 6
    dataset = coco(tmp_path, lambda content: content['images'][0].update(file_name='1.jpg'))
    picture(tmp_path / 'img/1.jpg', (40, 30), exif=exif)
    assert found(dataset) == [('warning', '1 of 3 images annotated as stored, but turned by their EXIF '
                               'tag when loaded (ROOT/img/1.jpg is 30 x 40, stated 40 x 30)')]
    picture(tmp_path / 'img/1.jpg', (30, 40), exif=exif)  # what OpenCV shows is 40 x 30
    assert found(dataset) == []


def test_panoptic_segments_are_looked_at(tmp_path):
    def change(content):
        content['annotations'] = [
            dict(image_id=image, file_name='x.png', segments_info=[
                dict(id=1, category_id=category, bbox=[2, 3, 10, 8], area=80, iscrowd=0)
                for category in (5, 7)]) for image in (1, 2, 3)]
        content['annotations'][0]['segments_info'][0]['bbox'] = [50, 3, 10, 8]
    assert found(coco(tmp_path, change)) == [
        ('warning', '1 of 6 boxes wholly outside the image; the host drops them (1.png, annotation 1)')]

"""Classification folders and lists."""
from __future__ import annotations

from .builders import examined, folders, found, picture


def test_nothing_in_whole_data(tmp_path):
    report = examined(folders(tmp_path))
    assert (report.findings, report.summary) == ([], dict(classes=2, images=4))


def test_number_of_folders(tmp_path):
    dataset = folders(tmp_path, metainfo=dict(classes=('cat', 'dog', 'owl')))
    assert found(dataset) == [
        ('error', "'ROOT' has 2 folders, the metainfo 3 classes, missing: 'owl'")]
    dataset['metainfo'] = dict(classes=('cat', 'dogs', 'owl'))
    assert found(dataset) == [('error', "'ROOT' has 2 folders, the metainfo 3 classes, 'dog' is no class, "
                               "did you mean 'dogs'?")]


def test_order_of_classes(tmp_path):
    assert found(folders(tmp_path, metainfo=dict(classes=('dog', 'cat')))) == [
        ('warning', "labels follow the folders' alphabetical order, the metainfo's classes another: label "
         "0 is 'cat' and will be called 'dog', sort the classes of the metainfo")]


def test_empty_folders_and_other_files(tmp_path):
    dataset = folders(tmp_path)
    (tmp_path / 'owl').mkdir()
    (tmp_path / 'owl/readme.txt').write_text('no owls')
    assert found(dataset) == [
        ('warning', "1 class without one image: 'owl'"),
        ('warning', "1 file without an image's ending (.bmp, .jpeg, .jpg, .pgm, .png, .ppm, .tif), not "
         'used (ROOT/owl/readme.txt)')]


def test_broken_images(tmp_path):
    dataset = folders(tmp_path)
    (tmp_path / 'cat/1.png').write_bytes(b'')
    (tmp_path / 'cat/2.png').write_bytes(b'<html>404</html>')
    picture(tmp_path / 'dog/1.png')
    content = (tmp_path / 'dog/1.png').read_bytes()
    (tmp_path / 'dog/1.png').write_bytes(content[:len(content) // 2])
    assert found(dataset) == [
        ('error', '1 of 4 images empty files (ROOT/cat/1.png)'),
        ('error', '1 of 4 images not readable as images (ROOT/cat/2.png)'),
        ('error', '1 of 4 images cut off: the end of the file is missing (ROOT/dog/1.png)')]


def test_nothing_there(tmp_path):
    dataset = dict(type='mmpretrain.CustomDataset', data_root=str(tmp_path))
    assert found(dataset) == [('error', "'ROOT' has no folders, one per class")]
    dataset['data_prefix'] = 'gone'
    assert found(dataset) == [
        ('error', "the folder 'ROOT/gone' cannot be read: No such file or directory")]


def test_list(tmp_path):
    dataset = folders(tmp_path, ann_file='list.txt', metainfo=dict(classes=('cat', 'dog')))
    (tmp_path / 'list.txt').write_text('cat/1.png 0\ndog/1.png 2\ncat/2.png\ncat/1.png 0\n')
    assert found(dataset) == [
        ('error', '1 of 4 lines not "file label" (ROOT/list.txt, line 3)'),
        ('error', '1 of 4 labels outside 0 to 1 (ROOT/list.txt, line 2: 2)'),
        ('warning', "1 class without one image: 'dog'"),
        ('warning', '1 line repeating a file')]

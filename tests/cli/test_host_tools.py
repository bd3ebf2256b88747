"""Fronts over the hosts' own tools, and the replacements of those that don't work."""
from __future__ import annotations

import importlib.util
import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from mmext.cli.config import load_config
from mmext.cli.host_tool import find_host_tool, run_host_tool
from mmext.engine.analysis.confusion import pixel_confusion
from mmext.errors import UserError
from tests.apis.tiny import write_config
from tests.apis.tools import run_tool

MATRIX = 'analysis_tools/confusion_matrix.py'
LOGS = 'analysis_tools/analyze_logs.py'
TILES = 'dataset_converters/dota_tiles.py'
SPLITS = 'dataset_converters/coco_semi_splits.py'
SEMANTIC = 'dataset_converters/panoptic_to_semantic.py'


@pytest.fixture
def work(tmp_path: Path, toy_root: Path, monkeypatch: pytest.MonkeyPatch,
         fresh_host: None) -> Path:
    """A folder to work in, with the toy data where the configs look."""
    monkeypatch.setenv('MMEXT_TOY_DATA', str(toy_root))
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ------------------------------------------------------------------------------------ run_host_tool


@pytest.mark.parametrize('host, tool', [
    ('mmdet', MATRIX), ('mmpretrain', MATRIX), ('mmrotate', MATRIX), ('mmpretrain', LOGS),
    ('mmrotate', 'data/dota/split/img_split.py'), ('mmdet', 'misc/split_coco.py'),
])
def test_help_of_every_tool_that_is_used(host, tool, capfd):
    assert run_host_tool(host, tool, ['--help'], prog='our_name.py') == 0
    assert 'usage: our_name.py' in capfd.readouterr().out


def test_wrong_arguments_give_the_tools_exit_code(capfd):
    assert run_host_tool('mmdet', 'misc/split_coco.py', ['--no-such-option']) == 2
    assert '--no-such-option' in capfd.readouterr().err


def test_the_caller_is_left_as_it_was():
    import sys
    before = list(sys.argv), sys.modules['__main__']
    run_host_tool('mmdet', 'misc/split_coco.py', ['--help'])
    assert (sys.argv, sys.modules['__main__']) == before


def test_a_host_that_is_not_installed(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, 'find_spec',
                        lambda name, *rest: None if name == 'mmrotate' else real(name, *rest))
    with pytest.raises(UserError, match=r'pip install .*onedl-mmrotate>=1\.2'):
        find_host_tool('mmrotate', MATRIX)


def test_names_that_do_not_exist():
    with pytest.raises(UserError, match='did you mean mmdet'):
        find_host_tool('mmdett', MATRIX)
    with pytest.raises(UserError, match=r'did you mean misc/split_coco\.py'):
        find_host_tool('mmdet', 'misc/split_cocos.py')


# ------------------------------------------------------------------------------------ analyze_logs


@pytest.fixture
def log(work: Path) -> Path:
    """A log of two epochs with a validation each, as mmengine writes it."""
    lines = []
    for epoch in (1, 2):
        for step in range(1, 5):
            lines.append(dict(lr=0.1, loss=1 / (step + 4 * epoch), time=0.1 * epoch, epoch=epoch,
                              step=step + 4 * (epoch - 1)))
        lines.append({'coco/bbox_mAP': 0.1 * epoch, 'step': epoch})
    path = work / 'scalars.json'
    path.write_text('\n'.join(map(json.dumps, lines)) + '\n')
    return path


def test_curves(log):
    assert run_tool(LOGS, 'plot_curve', log, '--keys', 'loss', 'coco/bbox_mAP', '--out',
                    'curve.png') == 0
    assert cv2.imread('curve.png').std() > 1


def test_time_per_iteration(log, capsys):
    assert run_tool(LOGS, 'cal_train_time', log) == 0
    assert 'average iter time: 0.1500' in capsys.readouterr().out


@pytest.mark.parametrize('argv, message', [
    (('plot_curve', '{log}', '--keys', 'los'), 'Invalid key "los"'),
    (('plot_curve', 'absent.json'), "no log 'absent.json'"),
])
def test_logs_that_users_get_wrong(argv, message, log, capsys):
    assert run_tool(LOGS, *(word.format(log=log) for word in argv)) == 2
    assert message in capsys.readouterr().err


# ------------------------------------------------------------------------------------ DOTA tiles


def test_tiles_cover_the_picture(work, toy_root):
    train = toy_root / 'dota' / 'train'
    assert run_tool(TILES, '--preset', 'ss', '--sizes', 48, '--gaps', 16, '--nproc', 1,
                    '--img-dirs', train / 'images', '--ann-dirs', train / 'annfiles',
                    '--save-dir', 'tiles') == 0
    tiles = sorted(Path('tiles/images').iterdir())
    pictures = sorted((train / 'images').iterdir())
    assert len(tiles) == 4 * len(pictures)  # 64 pixels: two tiles of 48 each way
    first = cv2.imread(str(pictures[0]))
    for tile in tiles[:4]:
        left, top = (int(part) for part in tile.stem.split('__', 2)[2].split('___'))
        assert (cv2.imread(str(tile)) == first[top:top + 48, left:left + 48]).all()
    texts = [path.read_text() for path in Path('tiles/annfiles').iterdir()]
    assert len(texts) == len(tiles) and any(texts)


@pytest.mark.parametrize('argv, message', [
    (('--preset', 'xs'), 'expected ss or ms'),
    (('--preset=ms', ), "img_dirs can't be None"),
])
def test_tiles_that_users_get_wrong(argv, message, work, capsys):
    assert run_tool(TILES, *argv) == 2
    assert message in capsys.readouterr().err


# ------------------------------------------------------------------------------------ COCO splits


def test_semi_supervised_splits(work, toy_root):
    argv = ('--data-root', toy_root / 'coco', '--ann-file', 'annotations/instances_train.json',
            '--labeled-percent', '25', '50', '--fold', '2')
    assert run_tool(SPLITS, *argv, '--out-dir', 'semi') == 0
    names = sorted(path.name for path in Path('semi').iterdir())
    assert names == sorted(f'instances_train.{fold}@{percent}{part}.json' for fold in (1, 2)
                           for percent in (25, 50) for part in ('', '-unlabeled'))
    whole = json.loads((toy_root / 'coco/annotations/instances_train.json').read_text())
    for fold in (1, 2):
        parts = [json.loads(Path(f'semi/instances_train.{fold}@50{part}.json').read_text())
                 for part in ('', '-unlabeled')]
        images = [{image['id'] for image in part['images']} for part in parts]
        assert images[0] | images[1] == {image['id'] for image in whole['images']}
        assert not images[0] & images[1] and images[0]
        for part, ids in zip(parts, images, strict=True):
            assert {ann['image_id'] for ann in part['annotations']} <= ids
    assert run_tool(SPLITS, *argv, '--out-dir', 'again') == 0
    for name in names:
        assert Path('semi', name).read_bytes() == Path('again', name).read_bytes()


@pytest.mark.parametrize('argv, message', [
    (('--ann-file', 'annotations/instances_trian.json'), 'did you mean instances_train.json'),
    (('--ann-file', 'annotations/instances_train.json', '--labeled-percent', '0'),
     '--labeled-percent 0'),
    (('--ann-file', 'annotations/instances_train.json', '--fold', '0'), '--fold 0'),
    (('--ann-file', '{work}/other.json', '--fold', '1'), 'is not a COCO annotation file'),
])
def test_splits_that_users_get_wrong(argv, message, work, toy_root, capsys):
    (work / 'other.json').write_text('{"images": []}')
    words = [word.format(work=work) for word in argv]
    assert run_tool(SPLITS, '--data-root', toy_root / 'coco', '--out-dir', 'semi', *words) == 2
    assert message in capsys.readouterr().err
    assert not list(Path().glob('semi/*'))


# ------------------------------------------------------------------------------------ panoptic


def _copy_panoptic(toy_root: Path, work: Path) -> Path:
    import shutil
    shutil.copytree(toy_root / 'coco' / 'annotations', work / 'annotations')
    return work / 'annotations'


def test_panoptic_to_semantic(work, toy_root):
    folder = _copy_panoptic(toy_root, work)
    assert run_tool(SEMANTIC, work, '--splits', 'val', '--nproc', 1) == 0
    content = json.loads((folder / 'panoptic_val.json').read_text())
    order = [category['id'] for category in content['categories']]
    for annotation in content['annotations']:
        labels = np.asarray(Image.open(folder / 'panoptic_semseg_val' / annotation['file_name']))
        areas = {}
        for segment in annotation['segments_info']:
            label = order.index(segment['category_id'])
            areas[label] = areas.get(label, 0) + segment['area']
        assert {label: int((labels == label).sum()) for label in areas} == areas
        assert (labels == 255).sum() == labels.size - sum(areas.values())
    assert not (folder / 'panoptic_semseg_train').exists()


def test_panoptic_data_that_users_get_wrong(work, toy_root, capsys):
    assert run_tool(SEMANTIC, work) == 2
    folder = _copy_panoptic(toy_root, work)
    assert run_tool(SEMANTIC, work, '--splits', 'vla') == 2
    next((folder / 'panoptic_val').iterdir()).unlink()
    assert run_tool(SEMANTIC, work, '--splits', 'val') == 2
    (folder / 'panoptic_train.json').write_text('{}')
    assert run_tool(SEMANTIC, work, '--splits', 'train') == 2
    error = capsys.readouterr().err
    for message in ('no panoptic_*.json', 'did you mean val', 'PNGs are not in',
                    'is not a COCO panoptic file'):
        assert message in error


# ------------------------------------------------------------------------------------ confusion


def _dataset(task: str, work: Path):
    from mmengine.registry import DATASETS, DefaultScope
    cfg = load_config(str(write_config(task, work)))
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
        dataset.full_init()
    return Path(cfg.filename), dataset


def _perfect(dataset, rotated: bool) -> list[dict]:
    """What a test would dump if the model found exactly the annotated objects."""
    from mmrotate.structures.bbox import qbox2rbox
    results = []
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        boxes = torch.tensor([one['bbox'] for one in info['instances']])
        boxes = boxes.reshape(-1, 8 if rotated else 4)
        labels = torch.tensor([one['bbox_label'] for one in info['instances']], dtype=torch.long)
        if rotated:
            boxes = qbox2rbox(boxes) if len(boxes) else torch.zeros(0, 5)
        found = dict(bboxes=boxes, labels=labels, scores=torch.ones(len(labels)))
        results.append(dict(img_path=info['img_path'], pred_instances=found))
    return results


@pytest.mark.parametrize('task', ['detection', 'rotated detection'])
def test_matrix_of_detections(task, work, toy_root, capsys):
    config, dataset = _dataset(task, work)
    Path('results.pkl').write_bytes(pickle.dumps(_perfect(dataset, task != 'detection')))
    assert run_tool(MATRIX, config, 'results.pkl', 'out') == 0
    assert cv2.imread('out/confusion_matrix.png').std() > 1
    assert 'written to out' in capsys.readouterr().out


def test_rotated_pictures_without_objects(work, toy_root, tmp_path, monkeypatch):
    import shutil
    data = tmp_path / 'data'
    shutil.copytree(toy_root / 'dota', data / 'dota')
    next((data / 'dota/val/annfiles').iterdir()).write_text('')
    monkeypatch.setenv('MMEXT_TOY_DATA', str(data))
    config, dataset = _dataset('rotated detection', work)
    results = _perfect(dataset, rotated=True)
    empty = next(one for one in results if not len(one['pred_instances']['labels']))
    empty['pred_instances'] = dict(bboxes=torch.ones(1, 5), labels=torch.zeros(1).long(),
                                   scores=torch.ones(1))
    Path('results.pkl').write_bytes(pickle.dumps(results))
    assert run_tool(MATRIX, config, 'results.pkl', 'out') == 0
    assert Path('out/confusion_matrix.png').is_file()


def test_matrix_of_classification(work):
    config, dataset = _dataset('classification', work)
    results = []
    for i in range(len(dataset)):
        label = torch.tensor([int(dataset.get_data_info(i)['gt_label'])])
        results.append(dict(num_classes=5, gt_label=label, pred_label=label,
                            pred_score=torch.eye(5)[label[0]]))
    Path('results.pkl').write_bytes(pickle.dumps(results))
    assert run_tool(MATRIX, config, 'results.pkl', 'out') == 0
    matrix = pickle.loads(Path('out/confusion_matrix.pkl').read_bytes())
    assert torch.equal(matrix, torch.diag(matrix.diagonal())) and matrix.sum() == len(dataset)
    assert Path('out/confusion_matrix.png').is_file()


def _segmentation_results(dataset, form: str) -> Path:
    truth = {Path(dataset.get_data_info(i)['img_path']).stem:
             dataset[i]['data_samples'].gt_sem_seg.data for i in range(len(dataset))}
    truth = {stem: torch.where(labels == 255, 0, labels) for stem, labels in truth.items()}
    if form == 'pkl':
        path = Path('results.pkl')
        path.write_bytes(pickle.dumps([dict(img_path=f'x/{stem}.png',
                                            pred_sem_seg=dict(data=labels))
                                       for stem, labels in truth.items()]))
        return path
    Path('maps').mkdir()
    for stem, labels in truth.items():  # mmseg writes label + 1 for reduce_zero_label
        picture = labels[0].numpy().astype(np.uint8) + (form == 'folder')
        Image.fromarray(picture).save(f'maps/{stem}.png')
    if form == 'folder':
        return Path('maps')
    path = Path('predictions.json')
    path.write_text(json.dumps(dict(images=[dict(file=f'y/{stem}.png', label_map=f'maps/{stem}.png')
                                            for stem in truth])))
    return path


@pytest.mark.parametrize('form', ['pkl', 'folder', 'json'])
def test_matrix_of_segmentation(form, work):
    config, dataset = _dataset('semantic segmentation', work)
    assert run_tool(MATRIX, config, _segmentation_results(dataset, form), 'out') == 0
    rows = [line.split(',') for line in Path('out/confusion_matrix.csv').read_text().splitlines()]
    assert rows[0][1:] == list(dataset.metainfo['classes'])
    matrix = np.array([row[1:] for row in rows[1:]], int)
    assert (matrix == np.diag(np.diag(matrix))).all() and matrix.sum() > 0
    assert cv2.imread('out/confusion_matrix.png').std() > 1


def test_matrices_that_users_get_wrong(work, capsys):
    config, dataset = _dataset('semantic segmentation', work)
    assert run_tool(MATRIX, config, 'absent.pkl', 'out') == 2
    maps = _segmentation_results(dataset, 'folder')
    next(maps.iterdir()).unlink()
    assert run_tool(MATRIX, config, maps, 'out') == 2
    Path('other.py').write_text("default_scope = 'mmpose'")
    assert run_tool(MATRIX, 'other.py', maps, 'out') == 2
    error = capsys.readouterr().err
    for message in ("no predictions at 'absent.pkl'", 'pictures have no prediction', "'mmpose'"):
        assert message in error


@given(arrays(np.uint8, (2, 30), elements=st.integers(0, 149)), st.integers(0, 29))
def test_pixels_are_counted_beyond_eight_bits(pair, ignored):
    truth, predicted = pair
    truth[ignored] = 255
    matrix = pixel_confusion([(truth, predicted)], 150)
    expected = np.zeros((150, 150), int)
    for true, said in zip(truth, predicted, strict=True):
        if true != 255:
            expected[true, said] += 1
    assert (matrix == expected).all()


def test_label_maps_that_cannot_be_compared():
    with pytest.raises(UserError, match='shape'):
        pixel_confusion([(np.zeros((2, 2), int), np.zeros((2, 3), int))], 3)
    with pytest.raises(UserError, match='labels 0 to 3'):
        pixel_confusion([(np.zeros(2, int), np.array([0, 3]))], 3)

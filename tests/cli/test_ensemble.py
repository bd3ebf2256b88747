"""``mmext ensemble``: fit, fuse and evaluate result files of COCO and DOTA; what is wrong is named."""
from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmext.cli.ensemble import main
from mmext.evaluation.rotated.files import write_task1
from mmext.evaluation.rotated.matching import Found, Objects
from mmext.models.ensemble import Detections, PRAECalibrator
from tests.models.ensemble.random_scenes import CLASSES, DETECTORS, random_scenes

IDS = [7, 3, 12]  # of the categories; the file lists them in this order
IMAGES = [f'P{number:04d}' for number in range(8)]


def _write_coco(folder: Path, found: Detections, objects: Objects, masks: bool = False) -> list[str]:
    def xywh(boxes: np.ndarray) -> list:
        return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()

    annotations = [dict(id=at, image_id=100 + int(image), category_id=IDS[label], bbox=box, iscrowd=0,
                        area=box[2] * box[3])
                   for at, (image, label, box) in enumerate(zip(objects.image, objects.label,
                                                                xywh(objects.boxes)), 1)]
    (folder / 'ann.json').write_text(json.dumps(dict(
        images=[dict(id=100 + at, height=100, width=100) for at in range(len(IMAGES))],
        categories=[dict(id=one, name=name) for one, name in zip(IDS, CLASSES)], annotations=annotations)))
    files = []
    for number, name in enumerate(DETECTORS):
        own = found[found.detector == number]
        rows: list[dict[str, Any]] = [
            dict(image_id=100 + int(image), category_id=IDS[label], bbox=box, score=float(score))
            for image, label, box, score in zip(own.image, own.label, xywh(own.boxes), own.scores)]
        if masks:
            for at, row in enumerate(rows):
                row['segmentation'] = dict(size=[100, 100], counts=f'{name}{at}')
        (folder / f'{name}.json').write_text(json.dumps(rows))
        files.append(str(folder / f'{name}.json'))
    return files


@pytest.fixture
def coco(tmp_path: Path) -> list[str]:
    """``--results ... --ann ...`` of random COCO data."""
    found, objects = random_scenes(0, images=len(IMAGES))
    return ['--results', *_write_coco(tmp_path, found, objects), '--ann', str(tmp_path / 'ann.json')]


@pytest.fixture
def dota(tmp_path: Path) -> list[str]:
    """The same of random DOTA data."""
    found, objects = random_scenes(0, images=len(IMAGES), width=8)
    (tmp_path / 'labelTxt').mkdir()
    for at, name in enumerate(IMAGES):
        lines = [' '.join([*map(str, objects.boxes[row]), CLASSES[objects.label[row]], '0'])
                 for row in np.flatnonzero(objects.image == at)]
        (tmp_path / 'labelTxt' / f'{name}.txt').write_text('\n'.join(lines))
    for number, name in enumerate(DETECTORS):
        own = found[found.detector == number]
        write_task1(tmp_path / name, IMAGES, Found(own.image, own.label, own.boxes,
                                                   own.scores.astype(np.float32)), CLASSES)
    return ['--results', *(str(tmp_path / name) for name in DETECTORS), '--ann', str(tmp_path / 'labelTxt'),
            '--classes', *CLASSES]


@pytest.mark.parametrize('kind', ['coco', 'dota'])
def test_fit_fuse_evaluate(kind: str, request: pytest.FixtureRequest, tmp_path: Path, capsys) -> None:
    data, calibration = request.getfixturevalue(kind), tmp_path / 'calibration.json'
    assert main(['fit', *data, '--out', str(calibration), '--plot', str(tmp_path / 'plot.png'),
                 '--folds', '2']) == 0
    assert 'chosen: ' in capsys.readouterr().out and (tmp_path / 'plot.png').is_file()
    calibrator = PRAECalibrator.load(calibration)
    assert calibrator.detector_names == DETECTORS and calibrator.class_names == CLASSES
    out = tmp_path / ('fused.json' if kind == 'coco' else 'fused')
    assert main(['fuse', *data, '--calibration', str(calibration), '--out', str(out)]) == 0
    if kind == 'coco':
        rows = json.loads(out.read_text())
        assert rows and {row['category_id'] for row in rows} <= set(IDS)
        fused = [str(out)]
    else:
        assert {path.name for path in out.glob('*.txt')} == {f'Task1_{name}.txt' for name in CLASSES}
        fused = [str(out)]
    assert main(['evaluate', *data, '--calibration', str(calibration), '--out',
                 str(tmp_path / 'table.md')]) == 0
    table = (tmp_path / 'table.md').read_text().splitlines()
    names = [line.split('|')[1].strip() for line in table[2:]]
    assert names == [*DETECTORS, f'PRAE ({calibrator.bandit})', 'nms', 'soft_nms', 'nmw', 'wbf']
    # the fused file scores what the table says
    again = ['--results', *fused, *data[len(DETECTORS) + 1:]]
    assert main(['evaluate', *again, '--methods', 'nms', '--iou-threshold', '1', '--out',
                 str(tmp_path / 'again.md')]) == 0
    prae = next(line for line in table if 'PRAE' in line).split('|')[2:-1]
    fused_row = (tmp_path / 'again.md').read_text().splitlines()[2].split('|')[2:-1]
    np.testing.assert_allclose([float(one) for one in prae], [float(one) for one in fused_row],
                               atol=0.011 if kind == 'coco' else 0.5)  # DOTA's files have two decimals


def test_masks_are_carried(tmp_path: Path) -> None:
    found, objects = random_scenes(0, images=len(IMAGES))
    files = _write_coco(tmp_path, found, objects, masks=True)
    assert main(['fuse', '--results', *files, '--ann', str(tmp_path / 'ann.json'), '--method', 'nms', '--out',
                 str(tmp_path / 'fused.json')]) == 0
    given = {(tuple(row['bbox']), row['score']): row['segmentation']
             for path in files for row in json.loads(Path(path).read_text())}
    for row in json.loads((tmp_path / 'fused.json').read_text()):
        near = [mask for (box, score), mask in given.items()
                if score == row['score'] and np.allclose(box, row['bbox'], atol=1e-9)]
        assert near == [row['segmentation']]


def _failure(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    assert main(list(arguments)) == 2
    error = capsys.readouterr().err
    assert 'Traceback' not in error
    return error


def test_wrong_results(coco: list[str], tmp_path: Path, capsys) -> None:
    out = ['--out', str(tmp_path / 'c.json')]
    path = Path(coco[1])
    good = json.loads(path.read_text())

    def failure(rows: Any) -> str:
        path.write_text(json.dumps(rows))
        return _failure(capsys, 'fit', *coco, *out)

    assert '1 image ids unknown to' in failure([*good, dict(good[0], image_id=999)])
    assert '1 category ids unknown to' in failure([*good, dict(good[0], category_id=1)])
    assert 'one has a score of 2, 1 outside [0, 1]' in failure([*good, dict(good[0], score=2)])
    segm = dict(segmentation=dict(size=[100, 100], counts='a'))
    assert 'detection 1 has no segmentation, others have' in failure([{**good[0], **segm}, *good[1:]])
    assert 'detection 0 has no bbox' in failure([dict(image_id=1, category_id=7, score=1)])
    assert 'expected a list of detections' in failure(dict(annotations=[]))
    assert 'a bbox is not four numbers' in failure([dict(good[0], bbox=[1, 2])])
    assert 'different image sets' in failure([row for row in good if row['image_id'] < 103])
    path.write_text('no json')
    assert 'one.json: not a COCO result file' in _failure(capsys, 'fit', *coco, *out)
    assert not (tmp_path / 'c.json').exists()


@pytest.mark.parametrize('step', ['counted', 'corrected', 'write_calibration'])
def test_an_interrupted_fit_loses_nothing(coco: list[str], tmp_path: Path, capsys, step: str,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C at any stage: the calibration that was there stays, whole, and no other file is left."""
    out = tmp_path / 'c.json'
    assert main(['fit', *coco, '--bandit', 'none', '--out', str(out)]) == 0
    before, files = out.read_bytes(), sorted(tmp_path.iterdir())

    def interrupt(*args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(f'mmext.models.ensemble.calibrator.{step}', interrupt)
    assert main(['fit', *coco, '--folds', '2', '--out', str(out)]) == 130
    assert 'stopped' in capsys.readouterr().err
    assert out.read_bytes() == before and sorted(tmp_path.iterdir()) == files


def test_a_killed_fit_loses_nothing(coco: list[str], tmp_path: Path) -> None:
    """SIGKILL while the new file is being written: the old one is still the calibration."""
    out = tmp_path / 'c.json'
    assert main(['fit', *coco, '--bandit', 'none', '--out', str(out)]) == 0
    before = out.read_bytes()
    program = """
import os, signal, sys
from mmext.cli.ensemble import main
replace = os.replace
def die(source, target):
    if str(target).endswith('c.json'):
        assert os.path.getsize(source) > 1000
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
os.replace = die
main(sys.argv[1:])
"""
    done = subprocess.run([sys.executable, '-c', program, 'fit', *coco, '--bandit', 'ucb', '--out', str(out)],
                          capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert out.read_bytes() == before
    assert PRAECalibrator.load(out).bandit == 'none'
    assert main(['fit', *coco, '--bandit', 'ucb', '--out', str(out)]) == 0
    assert PRAECalibrator.load(out).bandit == 'ucb'


def test_wrong_calibration_and_arguments(coco: list[str], tmp_path: Path, capsys) -> None:
    calibration, out = str(tmp_path / 'c.json'), ['--out', str(tmp_path / 'fused.json')]
    assert main(['fit', *coco, '--bandit', 'none', '--out', calibration]) == 0
    before = Path(calibration).read_bytes()
    renamed = [coco[0], f'other={coco[1]}', *coco[2:]]
    assert 'detectors are other, two, three, not those of the calibration' in _failure(
        capsys, 'fuse', *renamed, '--calibration', calibration, *out)
    swapped = [coco[0], coco[2], coco[1], *coco[3:]]
    assert 'in another order' in _failure(capsys, 'fuse', *swapped, '--calibration', calibration, *out)
    ann = json.loads((tmp_path / 'ann.json').read_text())
    ann['categories'][0], ann['categories'][1] = ann['categories'][1], ann['categories'][0]
    (tmp_path / 'ann.json').write_text(json.dumps(ann))
    assert 'classes are disc, bar, ring, in another order' in _failure(
        capsys, 'fuse', *coco, '--calibration', calibration, *out)
    assert 'give --calibration' in _failure(capsys, 'fuse', *coco, *out)
    assert 'must end in .json' in _failure(capsys, 'fit', *coco, '--out', str(tmp_path / 'c.npz'))
    assert "two detectors are called 'one'" in _failure(
        capsys, 'fit', '--results', coco[1], coco[1], '--ann', coco[-1], *out)
    assert "there is no 'nowhere'" in _failure(capsys, 'fit', *coco[:-1], 'nowhere', *out)
    assert 'did you mean wilson' in _failure(capsys, 'fit', *coco, '--bandit', 'wilsn', *out)
    assert Path(calibration).read_bytes() == before


def test_wrong_dota(dota: list[str], tmp_path: Path, capsys) -> None:
    file = tmp_path / 'one' / 'Task1_bar.txt'
    out = ['--out', str(tmp_path / 'c.json')]
    lines = file.read_text()
    file.write_text(lines + 'P0000 0.5 1 2 3\n')
    assert f'Task1_bar.txt:{len(lines.splitlines()) + 1}: expected a picture' in _failure(
        capsys, 'fit', *dota, *out)
    file.write_text(lines.replace('P0000', 'Q'))
    assert 'picture ids unknown to the label files' in _failure(capsys, 'fit', *dota, *out)
    file.rename(file.with_name('Task1_bra.txt'))
    assert "'bra' is no class of the split; did you mean bar?" in _failure(capsys, 'fit', *dota, *out)

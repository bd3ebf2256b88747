"""What the checks before a run cost: start-up against the host's own, and images read by the doctor.

    python tools/benchmarks/startup.py --out docs/benchmarks/startup.md

Start-up is the processor time of a new process from its first instruction to its first training
iteration (one thread, the least of several runs taken in turn): of the host's ``tools/train.py``, of
``tools/train.py`` here without any check, with the check of the config, and with that of the data
too. Asserts first that the doctor finds the faults put into its images.
"""
from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mmext.apis.writers import replacing
from mmext.datasets import toy
from mmext.datasets.doctor import DatasetReport, examine_config

ROOT = Path(__file__).parents[2]
HEADING = """# Checks before a run

Made by `python tools/benchmarks/startup.py`."""
CONFIGS = {
    'mmdet': 'atss_emov2_fpn_toy.py', 'mmseg': 'fpn_emov2_toy.py', 'mmpretrain': 'emov2_toy.py',
    'mmrotate': 'rotated-retinanet-rbox-le90_emov2_fpn_toy.py',
}
#: Columns of the first table and what goes to the training script for each.
WAYS: dict[str, list[str]] = {
    "host's tool": [], '--no-check': ['--no-check'], '--no-data-check': ['--no-data-check'], 'all checks': []}
# Runs a script up to its first iteration; `import mmext` mends torchvision where it is broken.
STOPPED = """
import json, os, runpy, sys, time
import mmext
from mmengine.model import BaseModel
def stop(*args, **kwargs):
    print('SECONDS', time.process_time(), flush=True)
    os._exit(0)
BaseModel.train_step = stop
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name='__main__')
"""
IMAGES = 5000


def start_up(host: str, way: str, data: Path, place: Path) -> float:
    """Processor seconds of one process up to its first iteration."""
    script = ROOT / 'tools' / 'train.py'
    if way == "host's tool":
        spec = importlib.util.find_spec(host)
        assert spec is not None and spec.origin is not None
        script = Path(spec.origin).parent / '.mim' / 'tools' / 'train.py'
    loader = ['train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
              'train_dataloader.batch_size=2']
    with tempfile.TemporaryDirectory(dir=place) as folder:
        environment = dict(os.environ, MMEXT_TOY_DATA=str(data), XDG_CACHE_HOME=folder, OMP_NUM_THREADS='1',
                           MMEXT_LEADERBOARD=f'{folder}/leaderboard.sqlite')
        done = subprocess.run(
            [sys.executable, '-c', STOPPED, str(script), str(ROOT / 'configs' / 'emov2' / CONFIGS[host]),
             '--work-dir', folder, *WAYS[way], '--cfg-options', *loader],
            env=environment, cwd=folder, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith('SECONDS')]
    if not lines:
        raise RuntimeError(f'{host}, {way}: {done.stdout[-1000:]}{done.stderr[-2000:]}')
    return float(lines[-1].split()[1])


def start_ups(data: Path, place: Path, repeats: int) -> list[str]:
    """The first table."""
    rows = [f"| host | {' | '.join(WAYS)} | config check / host | both checks / host |",
            '|---|' + '--:|' * (len(WAYS) + 2)]
    for host in CONFIGS:
        best = dict.fromkeys(WAYS, float('inf'))
        for _ in range(repeats):
            for way in WAYS:
                best[way] = min(best[way], start_up(host, way, data, place))
        times = ' | '.join(f'{best[way]:.2f} s' for way in WAYS)
        config, both = (100 * (best[way] - best['--no-check']) / best["host's tool"]
                        for way in ('--no-data-check', 'all checks'))
        rows.append(f'| {host} | {times} | {config:.1f} % | {both:.1f} % |')
        print(rows[-1], flush=True)
    return rows


def write_images(folder: Path, number: int) -> dict[str, Any]:
    """COCO annotations and JPEG files: ten missing, ten cut, ten of another size than stated."""
    random.seed(0)
    (folder / 'img').mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    encoded = cv2.imencode('.jpg', cv2.GaussianBlur(noise, (9, 9), 0))[1].tobytes()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(number):
        name = f'{index:05}.jpg'
        if not index < 10:
            (folder / 'img' / name).write_bytes(encoded[:len(encoded) // 2] if index < 20 else encoded)
        images.append(dict(id=index, file_name=name, width=640, height=400 if 20 <= index < 30 else 480))
        for _ in range(7):
            box = [random.randrange(600), random.randrange(360), 30, 30]
            annotations.append(dict(id=len(annotations), image_id=index, category_id=1, bbox=box, area=900,
                                    iscrowd=0, segmentation=[]))
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name='thing')])
    (folder / 'all.json').write_text(json.dumps(content))
    dataset = dict(type='mmdet.CocoDataset', ann_file=str(folder / 'all.json'), pipeline=[],
                   data_prefix=dict(img=str(folder / 'img')), metainfo=dict(classes=('thing', )))
    return dict(default_scope='mmdet', train_dataloader=dict(dataset=dataset))


def timed(action: Callable[[], Any], times: int = 1) -> tuple[str, Any]:
    """Wall and processor seconds of ``times`` such actions as cells of a table, and one's value."""
    wall, processor = time.perf_counter(), time.process_time()
    value = action()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return f'{times * wall:.2f} | {times * processor:.2f}', value


def examined(cfg: dict[str, Any]) -> tuple[str, DatasetReport]:
    """Seconds of the doctor, and its report."""
    seconds, [report] = timed(lambda: examine_config(cfg, ['train']))
    return seconds, report


def doctor(folder: Path, number: int) -> list[str]:
    """The second table."""
    os.environ['XDG_CACHE_HOME'] = str(folder)
    (folder / 'few').mkdir()
    examined(write_images(folder / 'few', 40))  # imports the host
    cfg = write_images(folder, number)
    first, report = examined(cfg)
    counts = {finding.kind: finding.count for finding in report.errors}
    assert counts == {'image-missing': 10, 'image-truncated': 10, 'image-size': 10}, counts
    again, cached = examined(cfg)
    assert cached.cached and cached.findings == report.findings
    file = folder / 'all.json'
    os.utime(file, ns=(0, 0))
    touched, changed = examined(cfg)
    assert not changed.cached and changed.findings == report.findings
    some = sorted((folder / 'img').iterdir())[::10]
    decoded, _ = timed(lambda: [cv2.imread(str(path)) is None for path in some], 10)
    return [f'| {number:,} JPEG of 640 x 480, {7 * number:,} boxes | seconds | of processor |',
            '|---|--:|--:|',
            f'| everything read for the first time | {first} |',
            f'| nothing changed since | {again} |',
            f'| annotations changed, images not | {touched} |',
            f'| decoding every image with OpenCV instead (ten times a tenth of them) | {decoded} |']


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--images', type=int, default=IMAGES)
    parser.add_argument('--out', type=Path, help='also write the tables here')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / 'images').mkdir()
        speed = doctor(place / 'images', args.images)
        print('\n'.join(speed), flush=True)
        toy.make(place / 'toy', num_train=16, num_val=8, size=128)
        share = start_ups(place / 'toy', place, args.repeats)
    machine = f'{platform.machine()} CPU, {os.cpu_count()} cores, torch {torch.__version__}.'
    table = '\n'.join([
        HEADING, '', machine, '', '## Start-up', '',
        'Processor time of one process up to its first iteration, EMOv2 on the toy data, least of '
        f'{args.repeats}. The shares are what a check adds to `mmext train --no-check`, over the time of the '
        "host's own `tools/train.py`.", '', *share, '', '## Data', '',
        'The doctor; sizes and truncation come from headers and closing marks, only a file '
        'without its closing mark is decoded.', '', *speed, ''])
    if args.out:
        with replacing(args.out) as path:
            path.write_text(table)


if __name__ == '__main__':
    main()

"""P-NMS against weighted boxes fusion, and fitting a calibration on a data set of COCO's size.

    pip install --no-deps ensemble-boxes==1.0.9  # needs numba, which the hosts bring
    python tools/benchmarks/ensemble.py --out docs/benchmarks/ensemble.md

P-NMS is first held equal to its plain loop, WBF to that of ensemble-boxes. An image has 4 detectors'
boxes, scattered around common objects. Times are the best of several rounds over the same images,
methods in turn.
"""
from __future__ import annotations

import argparse
import platform
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mmext.evaluation.rotated.matching import Objects
from mmext.models.ensemble import Detections, PRAECalibrator, PRAEFusion
from mmext.ops.pnms import suppress_reference

SIDE = 1000.0


def scene(rng: np.random.Generator, detectors: int, boxes: int, classes: int, objects: int, image: int
          ) -> tuple[Detections, Objects]:
    """An image: objects, and around each of them boxes of every detector."""
    low, size = rng.uniform(0, SIDE - 200, (objects, 2)), rng.uniform(20, 190, (objects, 2))
    truth, label = np.concatenate([low, low + size], axis=1), rng.integers(0, classes, objects)
    near = rng.integers(0, objects, detectors * boxes)
    found = np.clip(truth[near] + rng.normal(0, 4, (len(near), 4)), 0, SIDE)
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
    columns = Detections.of(np.full(len(near), image), np.repeat(np.arange(detectors), boxes), label[near],
                            found, rng.random(len(near)))
    return columns, Objects(np.full(objects, image), label, truth, np.zeros(objects, bool))


def _ensemble_boxes(method: str, found: Detections, detectors: int, iou_threshold: float) -> np.ndarray:
    import ensemble_boxes

    parts = [found[found.detector == number] for number in range(detectors)]
    call = getattr(ensemble_boxes, method)
    boxes, scores, labels = call([part.boxes / SIDE for part in parts], [part.scores for part in parts],
                                 [part.label for part in parts], iou_thr=iou_threshold)
    return np.column_stack([labels, scores, boxes * SIDE])


def _assert_correct(scenes: list[Detections], calibrator: PRAECalibrator) -> None:
    for found in scenes[:3]:
        fused, source = PRAEFusion(dict(iou_threshold=0.5))(found, calibrator)
        refined = calibrator.refine(found)
        order = np.lexsort((-found.scores, -refined))
        owner = suppress_reference(found.boxes[order], found.label[order], 0.5)
        assert np.array_equal(source, order[owner == np.arange(len(owner))])
        own = PRAEFusion(dict(type='wbf', iou_threshold=0.55))(found, detectors=4).detections
        ours = np.column_stack([own.label, own.scores, own.boxes])
        other = _ensemble_boxes('weighted_boxes_fusion', found, 4, 0.55)
        assert ours.shape == other.shape
        for one, reference in ((ours, other), (other, ours)):
            nearest = np.abs(one[:, None] - reference[None]).max(axis=2).min(axis=1)
            assert nearest.max() < 1e-2, nearest.max()  # ensemble-boxes is in single precision
        assert len(fused)


def _best(actions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    best = dict.fromkeys(actions, float('inf'))
    for _ in range(rounds):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def fusing(classes: int, boxes: int, objects: int, images: int, rounds: int) -> list[str]:
    """A row of the table: milliseconds an image."""
    rng = np.random.default_rng(0)
    pairs = [scene(rng, 4, boxes, classes, objects, image) for image in range(images)]
    scenes = [found for found, _ in pairs]
    names = [f'class {label}' for label in range(classes)]
    split = Objects(*(np.concatenate([getattr(one, key) for _, one in pairs])
                      for key in ('image', 'label', 'boxes', 'difficult')))
    calibrator = PRAECalibrator().fit(Detections.joined(scenes), split, ('a', 'b', 'c', 'd'), names)
    _assert_correct(scenes, calibrator)
    together = Detections.joined(scenes)
    p_nms, wbf = PRAEFusion(dict(iou_threshold=0.5)), PRAEFusion(dict(type='wbf'))
    actions: dict[str, Callable[[], object]] = {
        'p_nms': lambda: [p_nms(found, calibrator) for found in scenes],
        'p_nms together': lambda: p_nms(together, calibrator),
        'own wbf': lambda: [wbf(found, detectors=4) for found in scenes],
        'nms': lambda: [_ensemble_boxes('nms', found, 4, 0.5) for found in scenes],
        'wbf': lambda: [_ensemble_boxes('weighted_boxes_fusion', found, 4, 0.55) for found in scenes],
    }
    took = {name: 1000 * one / images for name, one in _best(actions, rounds).items()}
    return [f'4 x {boxes}', str(classes), *(f'{took[name]:.2f}' for name in actions),
            f"**{took['wbf'] / took['p_nms']:.0f}**", f"{took['wbf'] / took['p_nms together']:.0f}"]


def fitting(total: int, assign: str) -> list[str]:
    """A row of the table: seconds and peak memory to fit on ``total`` boxes of 3 detectors."""
    rng = np.random.default_rng(0)
    images, classes = total // 300, 80
    pairs = [scene(rng, 3, 100, classes, 8, image) for image in range(images)]
    found = Detections.joined([one for one, _ in pairs])
    split = Objects(*(np.concatenate([getattr(one, key) for _, one in pairs])
                      for key in ('image', 'label', 'boxes', 'difficult')))
    names = [f'class {label}' for label in range(classes)]
    thresholds = [0.5 + 0.05 * step for step in range(10)]
    calibrator = PRAECalibrator(iou_thrs=thresholds, assign=assign)
    start = time.perf_counter()
    calibrator.fit(found, split, ('a', 'b', 'c'), names)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    calibrator.refine(found)
    applied = time.perf_counter() - start
    tracemalloc.start()
    calibrator.fit(found, split, ('a', 'b', 'c'), names)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return [f'{len(found):,}', assign, f'{seconds:.1f}', f'{applied:.2f}', f'{peak:.0f}']


def main() -> int:
    """Measure and print the tables; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--images', type=int, default=20, help='images for each row')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--boxes', type=int, default=1_500_000, help='boxes to fit on')
    parser.add_argument('--out', type=Path, help='file to write (.md)')
    args = parser.parse_args()
    torch.set_num_threads(1)
    lines = ['# Ensembles', '', 'Made by `python tools/benchmarks/ensemble.py`. WBF and NMS are those of '
             'ensemble-boxes 1.0.9.', '',
             f'{platform.processor() or platform.machine()}, 1 thread; numpy {np.__version__}, '
             f'Python {platform.python_version()}', '', '## Fusing, milliseconds an image', '',
             '| boxes | classes | P-NMS | P-NMS, all images at once | WBF, mmext | NMS, ensemble-boxes '
             '| WBF, ensemble-boxes | P-NMS x faster than WBF | at once, x faster |', '|' + '---|' * 9]
    for classes, boxes, objects in ((80, 100, 40), (80, 300, 60), (20, 100, 20), (1, 100, 20)):
        lines.append('| ' + ' | '.join(fusing(classes, boxes, objects, args.images, args.rounds)) + ' |')
        print(lines[-1], flush=True)
    lines += ['', '## Fitting, 3 detectors, 80 classes, 10 thresholds', '',
              '| boxes | assign | fit s | apply s | peak MiB |', '|' + '---|' * 5]
    for assign in ('independent', 'greedy'):
        lines.append('| ' + ' | '.join(fitting(args.boxes, assign)) + ' |')
        print(lines[-1], flush=True)
    if args.out:
        args.out.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())

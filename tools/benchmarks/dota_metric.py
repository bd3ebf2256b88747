"""mmext.DOTAMetric and its NMS against mmrotate's and mmcv's.

    python tools/benchmarks/dota_metric.py                          # 5 to 10 minutes
    python tools/benchmarks/dota_metric.py --patches 1500 --metrics AP50 --nms 1000

The metric takes random detections of 1024-pixel patches with 15 classes, from the model's tensors to the
figures; both must give the same. mmrotate starts four processes for each threshold, as it always does.
NMS merges the boxes of one class in one picture, of which every fourth is a copy of another; both must
keep the same boxes.
"""
from __future__ import annotations

import argparse
import logging
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

CLASSES = tuple(f'class {i}' for i in range(15))
METRICS = {'AP50': [0.5], 'AP50:95': [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]}


def random_boxes(rng: np.random.Generator, count: int, side: float) -> np.ndarray:
    """(count, 5) float32: centre, width, height, angle; 10 to 100 pixels."""
    return np.concatenate([rng.uniform(0, side, (count, 2)), np.exp(rng.uniform(2.3, 4.6, (count, 2))),
                           rng.uniform(-np.pi / 2, np.pi / 2, (count, 1))], axis=1).astype(np.float32)


def make_samples(rng: np.random.Generator, patches: int) -> list[dict[str, Any]]:
    """About 60 objects and 190 detections a patch, half of these near an object."""
    samples = []
    for i in range(patches):
        truth = random_boxes(rng, int(rng.poisson(60)), 1024)
        labels = rng.integers(0, len(CLASSES), len(truth))
        near = rng.integers(0, max(len(truth), 1), 95 if len(truth) else 0)
        found = np.concatenate([truth[near] + rng.normal(0, 1, (len(near), 5)) * [2, 2, 2, 2, 0.05],
                                random_boxes(rng, 95, 1024)]).astype(np.float32)
        found[:, 2:4] = found[:, 2:4].clip(1)
        label = np.concatenate([labels[near], rng.integers(0, len(CLASSES), 95)])
        scores = rng.random(len(found)).astype(np.float32)
        columns = dict(bboxes=found, labels=label, scores=scores)
        samples.append(dict(
            img_id=f'P{i:05d}',
            pred_instances={key: torch.from_numpy(value) for key, value in columns.items()},
            gt_instances=dict(bboxes=torch.from_numpy(truth), labels=torch.from_numpy(labels)),
            ignored_instances=dict(bboxes=torch.zeros(0, 5), labels=torch.zeros(0, dtype=torch.int64))))
    return samples


def metric_seconds(cls: type, samples: list[dict], thresholds: list[float]) -> tuple[float, dict]:
    """Wall time from tensors to figures, and the figures."""
    metric = cls(iou_thrs=thresholds)
    metric.dataset_meta = dict(classes=CLASSES)
    start = time.perf_counter()
    for sample in samples:
        metric.process({}, [sample])
    figures = metric.evaluate(len(samples))
    return time.perf_counter() - start, figures


def metric_rows(patches: list[int], metrics: list[str]) -> list[str]:
    """The table's rows for the metric."""
    from mmrotate.evaluation import DOTAMetric as HostMetric

    from mmext.evaluation.metrics.dota_metric import DOTAMetric

    rows = []
    for count in patches:
        samples = make_samples(np.random.default_rng(0), count)
        for name in metrics:
            thresholds = METRICS[name]
            ours, figures = min((metric_seconds(DOTAMetric, samples, thresholds) for _ in range(3)),
                                key=lambda one: one[0])
            host, expected = metric_seconds(HostMetric, samples, thresholds)
            assert figures == expected, (figures, expected)
            rows.append(f'| {name} | {count:,} | {host:.2f} | {ours:.3f} | {host / ours:.0f} |')
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def timed(function: Callable[..., Any], *args: Any) -> tuple[float, list[int]]:
    """Wall time of a call, and the array that it returns."""
    start = time.perf_counter()
    kept = function(*args)
    return time.perf_counter() - start, kept.tolist()


def nms_rows(counts: list[int]) -> list[str]:
    """The table's rows for NMS."""
    from mmcv.ops import nms_rotated

    from mmext.evaluation.rotated.nms import rotated_nms

    rows = []
    for count in counts:
        rng = np.random.default_rng(0)
        boxes = random_boxes(rng, count, 80 * count**0.5).astype(np.float64)
        copies = count // 4
        boxes[-copies:] = boxes[:copies] + rng.normal(0, 1, (copies, 5)) * [1, 1, 1, 1, 0.05]
        scores = rng.random(count)

        ours, kept = min(timed(rotated_nms, boxes, scores, 0.1) for _ in range(5))
        host, expected = timed(lambda *args: nms_rotated(*args)[1], torch.from_numpy(boxes),
                               torch.from_numpy(scores), 0.1)
        assert kept == expected
        rows.append(f'| {count:,} | {len(kept):,} | {host:.2f} | {ours:.4f} | {host / ours:.0f} |')
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--patches', type=int, nargs='*', default=[200])
    parser.add_argument('--metrics', nargs='*', choices=METRICS, default=list(METRICS))
    parser.add_argument('--nms', type=int, nargs='*', default=[1000, 4000, 16000])
    parser.add_argument('--out', type=Path, help='also write the tables here')
    args = parser.parse_args()
    from mmengine.logging import MMLogger

    MMLogger.get_instance('benchmark', log_level=logging.ERROR)
    threads = os.environ.get('OMP_NUM_THREADS') or os.cpu_count()
    text = '\n'.join([
        f'{threads} threads, {os.cpu_count()} cores, torch {torch.__version__}, Python '
        f'{platform.python_version()}; same figures from both', '',
        '| metric | patches | mmrotate s | mmext s | times faster |', '|---|---|---|---|---|',
        *metric_rows(args.patches, args.metrics), '',
        '| boxes | kept | mmcv nms_rotated s | mmext s | times faster |', '|---|---|---|---|---|',
        *nms_rows(args.nms), ''])
    print(text)
    if args.out:
        args.out.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()

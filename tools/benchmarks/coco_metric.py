"""mmext.CocoMetric against mmdet's: the whole metric, from the model's tensors to the figures.

    python tools/benchmarks/coco_metric.py                         # 5,000 images, 5 to 10 minutes
    python tools/benchmarks/coco_metric.py --images 500 --metric segm
    python tools/benchmarks/coco_metric.py --backends hotcoco --out docs/benchmarks/coco_metric.md

Every run has the same random detections of a data set of the size of val2017 (7.3 objects an image,
80 classes), takes one process of its own, and must give the figures of mmdet's metric.
"""
from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = [f'class {i:02d}' for i in range(80)]
SIDE = 640


def make_truth(rng: np.random.Generator, images: int, masks: bool) -> dict[str, Any]:
    """The content of a COCO file."""
    annotations: list[dict[str, Any]] = []
    for image in range(images):
        for box in random_boxes(rng, rng.poisson(7.3)):
            x, y, width, height = box.tolist()
            annotations.append(dict(
                id=len(annotations) + 1, image_id=image, bbox=[x, y, width, height],
                area=width * height, iscrowd=0, category_id=int(rng.zipf(1.5)) % 80 + 1))
            if masks:
                annotations[-1]['segmentation'] = [[x, y, x + width, y, x + width, y + height,
                                                    x, y + height]]
    return dict(images=[dict(id=i, width=SIDE, height=SIDE) for i in range(images)],
                categories=[dict(id=i, name=name) for i, name in enumerate(CLASSES, 1)],
                annotations=annotations)


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 4) x, y, width, height inside the image."""
    size = np.exp(rng.uniform(np.log(8), np.log(400), (count, 2)))
    return np.concatenate([rng.uniform(0, SIDE - size), size], axis=1)


def make_samples(rng: np.random.Generator, truth: dict[str, Any], found: int, masks: bool) -> list[dict]:
    """``found`` detections an image: each object a few times, the rest anywhere."""
    import torch

    objects: dict[int, list[dict]] = {}
    for one in truth['annotations']:
        objects.setdefault(one['image_id'], []).append(one)
    samples = []
    for image in truth['images']:
        here = objects.get(image['id'], [])
        boxes = random_boxes(rng, found)
        labels = rng.integers(0, 80, found)
        near = min(4 * len(here), found)
        for i in range(near):
            one = here[i % len(here)]
            boxes[i] = one['bbox'] + rng.normal(0, 0.08, 4) * (one['bbox'][2:] * 2)
            labels[i] = one['category_id'] - 1
        boxes[:, 2:] = boxes[:, 2:].clip(2)
        boxes[:, 2:] += boxes[:, :2]
        scores = rng.beta(1, 4, found)
        scores[:near] = rng.beta(3, 2, near)
        instances = dict(bboxes=torch.from_numpy(boxes).float(), labels=torch.from_numpy(labels),
                         scores=torch.from_numpy(scores).float())
        if masks:
            bitmaps = torch.zeros((found, SIDE, SIDE), dtype=torch.bool)
            for bitmap, (x1, y1, x2, y2) in zip(bitmaps, boxes.clip(0, SIDE).astype(int)):
                bitmap[y1:y2, x1:x2] = True
            from mmdet.structures.mask import encode_mask_results
            instances['masks'] = encode_mask_results(bitmaps.numpy())
        samples.append(dict(img_id=image['id'], ori_shape=(SIDE, SIDE), pred_instances=instances))
    return samples


def measure(name: str, args: argparse.Namespace, send: Any) -> None:
    """One metric in this process: seconds by step, figures, peak memory."""
    import logging

    from mmdet.evaluation import CocoMetric as HostMetric
    from mmdet.evaluation import FasterCocoMetric
    from mmengine.logging import MMLogger

    from mmext.evaluation.metrics.coco_metric import CocoMetric

    MMLogger.get_instance('benchmark', log_level=logging.ERROR)
    masks = args.metric == 'segm'
    rng = np.random.default_rng(0)
    truth = make_truth(rng, args.images, masks)
    samples = make_samples(rng, truth, args.found, masks)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'truth.json'
        path.write_text(json.dumps(truth))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        common = dict(ann_file=str(path), metric=args.metric)
        if name == 'mmdet':
            metric: Any = HostMetric(**common)
        elif name == 'mmdet (faster-coco-eval)':
            metric = FasterCocoMetric(**common)
        else:
            metric = CocoMetric(**common, backend=name)
        metric.dataset_meta = dict(classes=CLASSES)
        built = time.perf_counter()
        for i in range(0, len(samples), 2):
            metric.process({}, samples[i:i + 2])
        processed = time.perf_counter()
        figures = metric.evaluate(len(samples))
        end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    send.send(dict(seconds=[built - start, processed - built, end - processed],
                   memory=(peak - before) / 1024, figures=figures))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--images', type=int, default=5000)
    parser.add_argument('--found', type=int, default=100, help='detections an image (default: 100)')
    parser.add_argument('--metric', choices=['bbox', 'segm', 'proposal'], default='bbox')
    parser.add_argument('--backends', nargs='+', default=['hotcoco', 'faster_coco_eval', 'pycocotools'])
    parser.add_argument('--out', type=Path, help='also write the table here')
    args = parser.parse_args()
    names = ['mmdet', 'mmdet (faster-coco-eval)'] if args.metric == 'bbox' else ['mmdet']
    names += [name for name in args.backends if importlib.util.find_spec(name)]
    context = multiprocessing.get_context('spawn')
    results: dict[str, dict] = {}
    for name in names:
        receive, send = context.Pipe(duplex=False)
        process = context.Process(target=measure, args=(name, args, send))
        process.start()
        send.close()
        try:
            results[name] = receive.recv()
        except EOFError:
            sys.exit(f'{name} failed')
        finally:
            process.join()
        print(f"{name}: {sum(results[name]['seconds']):.2f} s", file=sys.stderr, flush=True)
        assert results[name]['figures'] == results['mmdet']['figures'], (name, results)
    host = sum(results['mmdet']['seconds'])
    threads = os.environ.get('OMP_NUM_THREADS') or os.cpu_count()
    lines = [
        f'{args.metric}, {args.images:,} images x {args.found} detections; {threads} threads, '
        f'Python {platform.python_version()}; same figures from all',
        '',
        '| metric | load s | process s | evaluate s | total s | times faster | peak MiB |',
        '|---|---|---|---|---|---|---|',
    ]
    for name, one in results.items():
        label = name if name.startswith('mmdet') else f'mmext, {name}'
        steps = ' | '.join(f'{value:.2f}' for value in one['seconds'])
        total = sum(one['seconds'])
        lines.append(f"| {label} | {steps} | {total:.2f} | {host / total:.1f} | {one['memory']:.0f} |")
    table = '\n'.join(lines) + '\n'
    print(table)
    if args.out:
        args.out.write_text(table, encoding='utf-8')


if __name__ == '__main__':
    main()
